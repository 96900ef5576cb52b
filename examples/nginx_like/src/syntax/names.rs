//! Names that statements use, wherever in the text other statements define them.

use std::collections::HashMap;

use super::span::Span;

/// The names that were used, each once, numbered in the order of their first use.
#[derive(Debug, Default)]
pub(crate) struct Names {
    used: Vec<UsedName>,
    numbers: HashMap<String, usize>,
}

/// A name, and the statements that use it.
#[derive(Debug)]
pub(crate) struct UsedName {
    /// In small letters.
    pub(crate) name: String,
    pub(crate) uses: Vec<Span>,
}

impl Names {
    /// The number of a name that the statement at `span` uses. Capital letters make no difference.
    pub(crate) fn number(&mut self, name: &str, span: &Span) -> usize {
        let name = name.to_ascii_lowercase();
        let number = match self.numbers.get(&name) {
            Some(number) => *number,
            None => {
                let number = self.used.len();
                self.used.push(UsedName {
                    name: name.clone(),
                    uses: Vec::new(),
                });
                self.numbers.insert(name, number);
                number
            }
        };
        let uses = &mut self.used[number].uses;
        if uses.last() != Some(span) {
            uses.push(span.clone());
        }
        number
    }

    /// The names in the order of their numbers.
    pub(crate) fn into_used(self) -> Vec<UsedName> {
        self.used
    }
}
