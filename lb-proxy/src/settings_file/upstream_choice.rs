//! The upstream that gets connections, or several that share them by weight.

use std::fmt;
use std::sync::Arc;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use super::error::SettingsError;
use super::named::NamedParts;
use crate::state::split::{Split, SplitTarget};
use crate::upstream::Upstream;

/// Which upstream gets connections: the name of one, or a list of some that share the connections by weight.
///
/// Upstreams of a list have turns, so that each gets exactly its share, also if it has no backend: a [`Split`]. A reload
/// begins with a new turn.
#[derive(Clone, Debug, Eq, PartialEq, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
#[allow(clippy::exhaustive_enums, reason = "one or several")]
pub enum UpstreamChoice {
    /// The name of an upstream.
    Name(Box<str>),
    /// Upstreams and their weights, at least one above 0.
    Split(Vec<UpstreamShare>),
}

/// An upstream with its weight in a split.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpstreamShare {
    /// The name of the upstream.
    pub upstream: Box<str>,
    /// Its share of the connections, in proportion to the sum of all weights; 0 for none. Default: 1.
    #[serde(default = "one")]
    pub weight: u32,
}

fn one() -> u32 {
    1
}

impl UpstreamShare {
    /// `upstream` with this weight.
    pub fn new(upstream: impl Into<Box<str>>, weight: u32) -> Self {
        Self {
            upstream: upstream.into(),
            weight,
        }
    }
}

impl From<&str> for UpstreamChoice {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<String> for UpstreamChoice {
    fn from(name: String) -> Self {
        Self::Name(name.into())
    }
}

impl From<Box<str>> for UpstreamChoice {
    fn from(name: Box<str>) -> Self {
        Self::Name(name)
    }
}

impl FromIterator<UpstreamShare> for UpstreamChoice {
    fn from_iter<I: IntoIterator<Item = UpstreamShare>>(shares: I) -> Self {
        Self::Split(shares.into_iter().collect())
    }
}

impl UpstreamChoice {
    /// The upstream, or that of the first share.
    pub(super) fn first<'a>(
        &self,
        named: &'a NamedParts,
        place: &str,
    ) -> Result<&'a Upstream, SettingsError> {
        match self {
            Self::Name(name) => named.upstream(name, place),
            Self::Split(shares) => match shares.first() {
                Some(share) => named.upstream(&share.upstream, &format!("{place}[0].upstream")),
                None => Err(SettingsError::at(place, "no upstream has a share")),
            },
        }
    }

    /// The split, if it is one.
    pub(super) fn split(
        &self,
        named: &NamedParts,
        place: &str,
    ) -> Result<Option<Arc<Split>>, SettingsError> {
        let Self::Split(shares) = self else {
            return Ok(None);
        };
        if shares.iter().all(|share| share.weight == 0) {
            let problem = "all weights are 0, so no upstream gets connections";
            return Err(SettingsError::at(place, problem));
        }
        let target = |(i, share): (usize, &UpstreamShare)| {
            let upstream = named.upstream(&share.upstream, &format!("{place}[{i}].upstream"))?;
            Ok((share.weight, SplitTarget::Upstream(upstream.clone())))
        };
        let targets: Vec<_> = shares
            .iter()
            .enumerate()
            .map(target)
            .collect::<Result<_, _>>()?;
        Ok(Some(Arc::new(Split::new(targets))))
    }
}

impl<'de> Deserialize<'de> for UpstreamChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoiceVisitor)
    }
}

struct ChoiceVisitor;

impl<'de> Visitor<'de> for ChoiceVisitor {
    type Value = UpstreamChoice;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of an upstream, or a list of upstreams with their weights")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<UpstreamChoice, E> {
        Ok(name.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<UpstreamChoice, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq)).map(UpstreamChoice::Split)
    }
}
