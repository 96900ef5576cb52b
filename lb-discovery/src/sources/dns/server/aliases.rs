//! From a name through its aliases (CNAME records) to the wanted records.

use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

/// The maximum length of a chain of aliases. Longer ones are not legitimate, and recursive servers give up at about as
/// many.
pub(crate) const MAX_ALIASES: usize = 16;

/// The names of a chain, beginning with the one that was asked for.
#[derive(Debug)]
pub(crate) struct Aliases {
    names: Vec<Name>,
    /// The minimum TTL so far.
    ttl: u32,
}

/// The content of an answer.
#[derive(Debug)]
pub(crate) enum AliasStep<'a> {
    /// Records of the wanted type, of the name or of its alias targets.
    Found(Vec<&'a Record>),
    /// An alias without the records of its target: ask for [`Aliases::name`] next.
    Alias,
    /// Records of other types only, and no alias.
    OtherTypes,
    /// Nothing about the name.
    Nothing,
}

/// Why a chain of aliases is not followed to its end. Says nothing about the records at its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AliasError {
    Loop,
    TooLong,
}

impl Aliases {
    pub(crate) fn of(name: &Name) -> Self {
        Self {
            names: vec![name.clone()],
            ttl: u32::MAX,
        }
    }

    /// The name to ask for next.
    pub(crate) fn name(&self) -> &Name {
        &self.names[self.names.len() - 1]
    }

    /// The minimum TTL of the aliases and of the found records.
    pub(crate) fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Processes the answer to the question for [`name`](Self::name). Ignores records of other names, because a server may
    /// put any record into an answer.
    pub(crate) fn follow<'a>(
        &mut self,
        answer: &'a [Record],
        kind: RecordType,
    ) -> Result<AliasStep<'a>, AliasError> {
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
                // The least of several names without a target, so that the choice is deterministic.
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
                return Err(AliasError::TooLong);
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
            return Ok(AliasStep::Found(found));
        }
        match next {
            _ if self.names.len() - 1 == asked && !circle => Ok(if own.is_empty() {
                AliasStep::Nothing
            } else {
                AliasStep::OtherTypes
            }),
            Some(name) => {
                self.names.retain(|other| *other != name);
                self.names.push(name);
                Ok(AliasStep::Alias)
            }
            None if circle => Err(AliasError::Loop),
            None => Ok(AliasStep::Nothing),
        }
    }
}

#[cfg(test)]
mod tests;
