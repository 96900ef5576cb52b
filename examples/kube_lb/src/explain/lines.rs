//! The text of an explanation.

use std::fmt::{Display, Write};

use lb_proxy::lb_core::Escaped;

use crate::gateway::Reported;

/// Lines, indented by what they belong to.
#[derive(Debug, Default)]
pub(super) struct Lines(String);

impl Lines {
    pub(super) fn new(title: impl Display) -> Self {
        Self(format!("{}\n", Escaped(title)))
    }

    /// Adds a line. Objects may hold any text: it cannot control the terminal.
    pub(super) fn line(&mut self, depth: usize, line: impl Display) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "{:1$}{2}", "", 2 * depth, Escaped(line));
    }

    /// Adds a line for each condition that is a problem, or that has something to say.
    pub(super) fn conditions(&mut self, depth: usize, conditions: &[Reported]) {
        for condition in conditions {
            let Reported {
                type_,
                reason,
                message,
                ..
            } = condition;
            if condition.is_problem() {
                self.line(depth, format_args!("problem: {type_}: {reason}: {message}"));
            } else if !message.is_empty() && *type_ != "Programmed" && !is_repeated(condition) {
                self.line(depth, format_args!("note: {type_}: {message}"));
            }
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// `Accepted` of a route repeats what `Serving` says.
fn is_repeated(condition: &Reported) -> bool {
    condition.type_ == "Accepted" && condition.reason == "Accepted"
}
