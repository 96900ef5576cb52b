//! From a name over its aliases (CNAME records) to the records that are asked for.

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// How many aliases in a row are followed. More are not honest, and recursive servers give up at about as many.
pub(crate) const MAX_ALIASES: usize = 16;

/// The names that were come through, the one that was asked for first.
#[derive(Debug)]
pub(crate) struct Aliases {
    names: Vec<Name>,
    /// The least TTL so far.
    ttl: u32,
}

/// What an answer brings.
#[derive(Debug)]
pub(crate) enum Step<'a> {
    /// Records of the type that was asked for, of the name or what it is an alias of.
    Found(Vec<&'a Record>),
    /// An alias whose records the answer does not have: [`Aliases::name`] is to be asked for next.
    Alias,
    /// Records of other types only, and no alias.
    OtherTypes,
    /// Nothing about the name.
    Nothing,
}

/// Why a chain of aliases is not followed to its end. This tells nothing of what there is at its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Endless {
    Circle,
    TooLong,
}

impl Aliases {
    pub(crate) fn of(name: &Name) -> Self {
        Self {
            names: vec![name.clone()],
            ttl: u32::MAX,
        }
    }

    /// The name to ask for.
    pub(crate) fn name(&self) -> &Name {
        &self.names[self.names.len() - 1]
    }

    /// The least TTL of the aliases, and of the records that were found.
    pub(crate) fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Takes in the answer to the question for [`name`](Self::name). Records of other names are ignored: servers put
    /// into an answer whatever they like.
    pub(crate) fn follow<'a>(
        &mut self,
        answer: &'a [Record],
        kind: RecordType,
    ) -> Result<Step<'a>, Endless> {
        let asked = self.names.len() - 1;
        let mut at = asked;
        let mut circle = false;
        let mut next = None;
        while let Some(name) = self.names.get(at).cloned() {
            let mut targets: Vec<&Name> = Vec::new();
            for record in answer.iter().filter(|record| record.name == name) {
                if let RData::CNAME(target) = &record.data {
                    self.ttl = self.ttl.min(record.ttl);
                    targets.push(&target.0);
                }
            }
            if targets.is_empty() {
                // Of several names with nothing behind them the least, so that equal answers lead to one.
                next = next.into_iter().chain([name]).min();
            }
            for target in targets {
                if self.names.contains(target) {
                    circle = true;
                } else {
                    self.names.push(target.clone());
                }
            }
            if self.names.len() > MAX_ALIASES + 1 {
                return Err(Endless::TooLong);
            }
            at += 1;
        }
        let own: Vec<&Record> = answer
            .iter()
            .filter(|record| self.names[asked..].contains(&record.name))
            .collect();
        let of_kind = |record: &&&Record| record.record_type() == kind;
        let found: Vec<&Record> = own.iter().filter(of_kind).copied().collect();
        if let Some(least) = found.iter().map(|record| record.ttl).min() {
            self.ttl = self.ttl.min(least);
            return Ok(Step::Found(found));
        }
        match next {
            _ if self.names.len() - 1 == asked && !circle => Ok(if own.is_empty() {
                Step::Nothing
            } else {
                Step::OtherTypes
            }),
            Some(name) => {
                self.names.retain(|other| *other != name);
                self.names.push(name);
                Ok(Step::Alias)
            }
            None if circle => Err(Endless::Circle),
            None => Ok(Step::Nothing),
        }
    }
}

#[cfg(test)]
mod tests;
