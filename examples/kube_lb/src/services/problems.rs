//! What is wrong with the annotations and fields of a Service.

use std::fmt;

/// The most problems that are described. A Service may have ten thousand annotations.
const MOST_DESCRIBED: usize = 16;

/// An annotation or field that is not used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct AnnotationProblem {
    /// The whole name.
    pub name: String,
    /// What is wrong, and what to write.
    pub problem: String,
}

/// The first problems of a Service, and how many others there are. As a text, in one line.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problems {
    described: Vec<AnnotationProblem>,
    others: usize,
}

impl Problems {
    /// Adds a problem. Only the first ones are described.
    pub fn add(&mut self, describe: impl FnOnce() -> AnnotationProblem) {
        match self.described.len() < MOST_DESCRIBED {
            true => self.described.push(describe()),
            false => self.others += 1,
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.described.is_empty()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.described.len() + self.others
    }

    /// The first one.
    pub fn first(&self) -> Option<&AnnotationProblem> {
        self.described.first()
    }

    /// A line for each that is described, and one for the others.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let others = (self.others > 0).then(|| format!("and {} more", self.others));
        let described = self.described.iter().map(ToString::to_string);
        described.chain(others)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines().enumerate() {
            let gap = if number > 0 { "; " } else { "" };
            write!(f, "{gap}{line}")?;
        }
        Ok(())
    }
}
