//! The variable of a `map`.

use std::collections::HashMap;

use lb_proxy::server_names::{ServerNameError, ServerNames};

use super::buffer::Buffer;
use super::context::Context;
use super::id::VariableId;
use super::output::ValueOutput;
use super::regex::Regex;
use super::table::{Definition, ServerNameMap, Traits};
use super::value::Value;
use crate::syntax::span::Span;

/// The variable of a `map`: the value beside the key that a source value matches.
///
/// As in nginx, exact keys take precedence over wildcards, the longest of these first, and wildcards over regular
/// expressions in their order. Costs a hash table look-up, two for each label of the name if there are wildcards, and a
/// search for each regular expression.
#[derive(Debug)]
pub(crate) struct Map {
    source: Value,
    /// Indices into `values`, by keys in small letters.
    exact: HashMap<Box<[u8]>, usize>,
    /// Host names and wildcards, behind `hostnames`.
    names: ServerNames<usize>,
    regexes: Vec<(Regex, usize)>,
    default: Option<usize>,
    values: Vec<(Value, Span)>,
    /// `hostnames`
    has_names: bool,
    is_volatile: bool,
}

impl Map {
    pub(crate) fn new(source: Value) -> Self {
        Self {
            source,
            exact: HashMap::new(),
            names: ServerNames::new(),
            regexes: Vec::new(),
            default: None,
            values: Vec::new(),
            has_names: false,
            is_volatile: false,
        }
    }

    /// `hostnames`: keys from here on may be wildcards, and a dot at the end of the source does not count.
    pub(crate) const fn take_names(&mut self) {
        self.has_names = true;
    }

    /// `volatile`: a session stores no value.
    pub(crate) const fn make_volatile(&mut self) {
        self.is_volatile = true;
    }

    /// Sets the value of a source that matches no key. False if there is one already.
    pub(crate) fn set_default(&mut self, value: Value, span: &Span) -> bool {
        let index = self.add_value(value, span);
        self.default.replace(index).is_none()
    }

    pub(crate) fn add_regex(&mut self, regex: Regex, value: Value, span: &Span) {
        let index = self.add_value(value, span);
        self.regexes.push((regex, index));
    }

    /// Adds a key that is no regular expression.
    pub(crate) fn add(
        &mut self,
        key: &str,
        value: Value,
        span: &Span,
    ) -> Result<(), ServerNameError> {
        let index = self.add_value(value, span);
        let lower = key.to_ascii_lowercase().into_bytes().into_boxed_slice();
        if self.has_names && !["", "."].contains(&key) {
            // ".a.test" means "a.test", too, also in front of "hostnames".
            let itself = lower.strip_prefix(b".").unwrap_or(&lower);
            if self.exact.contains_key(itself) {
                let pattern = key.into();
                return Err(ServerNameError::Conflict { pattern });
            }
            return self.names.insert(key, index);
        }
        match self.exact.insert(lower, index) {
            None => Ok(()),
            Some(_) => Err(ServerNameError::Conflict {
                pattern: key.into(),
            }),
        }
    }

    fn add_value(&mut self, value: Value, span: &Span) -> usize {
        self.values.push((value, span.clone()));
        self.values.len() - 1
    }

    fn find(&self, source: &mut [u8], context: &Context<'_>) -> Option<usize> {
        let mut source = source;
        if self.has_names && source.last() == Some(&b'.') {
            let end = source.len() - 1;
            source = &mut source[..end];
        }
        let found = if self.regexes.is_empty() {
            source.make_ascii_lowercase();
            self.find_key(source)
        } else {
            let mut lower = Buffer::new();
            lower.push(source);
            lower.bytes().make_ascii_lowercase();
            self.find_key(lower.bytes())
        };
        found.or_else(|| {
            let mut regexes = self.regexes.iter().filter(|_| !source.is_empty());
            let found = regexes.find(|(regex, _)| regex.matches(source, context));
            found.map(|(_, index)| *index)
        })
    }

    /// Looks up a source in small letters.
    fn find_key(&self, source: &[u8]) -> Option<usize> {
        if let Some(index) = self.exact.get(source) {
            return Some(*index);
        }
        if self.names.is_empty() {
            return None;
        }
        self.names.find(source).copied()
    }
}

impl Definition for Map {
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()> {
        let mut source = Buffer::new();
        self.source.append(context, &mut source);
        if let Some(index) = self.find(source.bytes(), context).or(self.default) {
            self.values[index].0.append(context, out);
        }
        // Without a default the value is empty.
        Some(())
    }

    fn variables(&self) -> Vec<VariableId> {
        let values = self.values.iter().map(|(value, _)| value);
        let all = values.chain([&self.source]);
        all.flat_map(Value::variables).collect()
    }

    fn traits(&self) -> Traits {
        let values = self.values.iter().map(|(value, _)| value);
        let reads = values.chain([&self.source]).any(Value::has_captures);
        Traits {
            captures: reads || !self.regexes.is_empty(),
            first_bytes: reads,
            course: reads,
            changes: false,
            volatile: self.is_volatile,
        }
    }

    fn server_names(&self) -> Option<ServerNameMap> {
        const SOURCES: [&str; 2] = ["$ssl_preread_server_name", "${ssl_preread_server_name}"];
        let source = self.source.text();
        let is_source = |known: &str| known.eq_ignore_ascii_case(source);
        if !SOURCES.into_iter().any(is_source) || !self.regexes.is_empty() {
            return None;
        }
        let mut names = self.names.clone();
        for (key, index) in &self.exact {
            let key = str::from_utf8(key).ok()?;
            // A client without a name has an empty one here, and none in the table.
            if key.is_empty() {
                return None;
            }
            // These are no patterns here.
            if key.starts_with('.') || key.ends_with('.') || key.contains('*') {
                return None;
            }
            names.insert(key, *index).ok()?;
        }
        let literal = |(value, span): &(Value, Span)| Some((value.literal()?.into(), span.clone()));
        Some(ServerNameMap {
            names,
            default: self.default?,
            values: self.values.iter().map(literal).collect::<Option<_>>()?,
        })
    }
}
