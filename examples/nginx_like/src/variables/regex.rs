//! Regular expressions, and what they capture.

use regex::bytes::{Regex as Compiled, RegexBuilder};

use super::context::Context;
use super::definitions::Definitions;
use super::error::VariableError;
use super::id::VariableId;
use super::pcre;
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// A regular expression. As in nginx it sees bytes, and matches anywhere unless it is anchored.
///
/// It has the syntax that the crate `regex` and PCRE have in common, and the time that it takes is linear in the length of
/// the text. What it lacks of PCRE is an error: look-around, back-references, possessive quantifiers, atomic groups,
/// conditions, recursion, and classes such as `\h`.
#[derive(Clone, Debug)]
pub(crate) struct Regex {
    compiled: Compiled,
    /// The groups with names, and the variables that they fill in.
    named: Vec<(usize, VariableId)>,
}

/// Ours: PCRE has other words for the same.
#[derive(Debug, thiserror::Error)]
#[error("the regular expression \"{pattern}\" cannot be used: {reason}")]
struct RegexError {
    pattern: String,
    reason: String,
}

impl Regex {
    /// Compiles `pattern`, an argument of `statement`. Its named groups become variables.
    pub(crate) fn compile(
        statement: &Statement,
        pattern: &str,
        ignores_case: bool,
        definitions: &mut Definitions,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let fail = |reason: String| {
            statement.error(RegexError {
                pattern: pattern.to_owned(),
                reason,
            })
        };
        pcre::check(pattern).map_err(fail)?;
        let compiled = RegexBuilder::new(pattern)
            .unicode(false)
            .case_insensitive(ignores_case)
            .build();
        let compiled = compiled.map_err(|error| fail(reason(&error)))?;
        let mut named = Vec::new();
        for (group, name) in compiled.capture_names().enumerate() {
            let Some(name) = name else { continue };
            Definitions::check(name).map_err(|error: VariableError| statement.error(error))?;
            definitions.define_capture(name);
            named.push((group, VariableId::of(name, statement, reader)));
        }
        Ok(Self { compiled, named })
    }

    /// Whether it has groups that capture.
    pub(crate) fn captures(&self) -> bool {
        self.compiled.captures_len() > 1
    }

    /// Whether it matches `text`. If so, the session stores what its groups have captured.
    pub(crate) fn matches(&self, text: &[u8], context: &Context<'_>) -> bool {
        if !self.captures() {
            let is_match = self.compiled.is_match(text);
            if is_match {
                context.store_captures(Vec::new());
            }
            return is_match;
        }
        let Some(found) = self.compiled.captures(text) else {
            return false;
        };
        let groups = found.iter().skip(1);
        let groups: Vec<Option<Box<[u8]>>> = groups
            .map(|group| group.map(|group| group.as_bytes().into()))
            .collect();
        for (group, id) in &self.named {
            // As in nginx, a group that took no part is empty.
            let captured = groups.get(group - 1).cloned().flatten();
            context.store(*id, Some(captured.unwrap_or_default()));
        }
        context.store_captures(groups);
        true
    }
}

/// The last line of a syntax error of the crate, which shows the pattern above it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.trim().trim_start_matches("error: ").to_owned()
}
