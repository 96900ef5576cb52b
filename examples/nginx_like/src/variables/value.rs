//! A text with variables.

use std::borrow::Cow;

use super::context::Context;
use super::id::VariableId;
use super::output::ValueOutput;
use super::table::{Definition, Traits, Variables};
use super::template::{TemplatePart, split};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;

/// A text with variables, compiled. Two are equal if their texts are.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    text: Box<str>,
    /// Empty if the text has no variables.
    parts: Box<[Part]>,
}

/// A part of a [`Value`] with variables.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// What a group of the last regular expression that matched has captured, from 1.
    Capture(u8),
    Text(Box<str>),
    Variable(VariableId),
}

impl Value {
    /// Compiles `text`, an argument of `statement`. The names are looked up when the `stream` block was read.
    pub(crate) fn compile(
        statement: &Statement,
        text: &str,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let pieces = split(text).map_err(|error| statement.error(error))?;
        let is_literal = pieces
            .iter()
            .all(|piece| matches!(piece, TemplatePart::Text(_)));
        let parts = pieces.into_iter().map(|piece| match piece {
            TemplatePart::Capture(number) => Part::Capture(number),
            TemplatePart::Name(name) => Part::Variable(VariableId::of(name, statement, reader)),
            TemplatePart::Text(text) => Part::Text(text.into()),
        });
        Ok(Self {
            text: text.into(),
            parts: if is_literal {
                Box::default()
            } else {
                parts.collect()
            },
        })
    }

    /// A text without variables, for tests of definitions.
    #[cfg(test)]
    pub(super) fn literal_of(text: &str) -> Self {
        Self {
            text: text.into(),
            parts: Box::default(),
        }
    }

    /// The text as written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The text if it has no variables.
    pub(crate) fn literal(&self) -> Option<&str> {
        self.parts.is_empty().then_some(&self.text)
    }

    /// The parts of a text with variables. None if it has no variables.
    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The variables in it.
    pub(crate) fn variables(&self) -> impl Iterator<Item = VariableId> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(id) => Some(*id),
            Part::Capture(_) | Part::Text(_) => None,
        })
    }

    /// The value for a session. Allocates only if there are variables.
    pub(crate) fn get(&self, context: &Context<'_>) -> Cow<'_, [u8]> {
        match self.literal() {
            Some(text) => Cow::Borrowed(text.as_bytes()),
            None => {
                let mut bytes = Vec::new();
                self.append(context, &mut bytes);
                Cow::Owned(bytes)
            }
        }
    }

    /// Appends the value for a session to `out`. What has no value is empty.
    pub(crate) fn append(&self, context: &Context<'_>, out: &mut dyn ValueOutput) {
        if let Some(text) = self.literal() {
            return out.push(text.as_bytes());
        }
        for part in &self.parts {
            match part {
                Part::Capture(number) => context.capture(*number, out),
                Part::Text(text) => out.push(text.as_bytes()),
                Part::Variable(id) => {
                    let _ = context.variable(*id, out);
                }
            }
        }
    }

    /// Whether evaluating it may read what the first bytes of a connection contain.
    pub(crate) fn reads_first_bytes(&self, variables: &Variables) -> bool {
        let has_captures = self.has_captures();
        has_captures || variables.read_first_bytes(self.variables())
    }

    /// Whether it has `$1` to `$9`.
    pub(crate) fn has_captures(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(part, Part::Capture(_)))
    }
}

impl Definition for Value {
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()> {
        self.append(context, out);
        Some(())
    }

    fn variables(&self) -> Vec<VariableId> {
        self.variables().collect()
    }

    fn traits(&self) -> Traits {
        Traits {
            captures: self.has_captures(),
            first_bytes: self.has_captures(),
            course: self.has_captures(),
            ..Traits::default()
        }
    }
}

impl Eq for Value {}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
