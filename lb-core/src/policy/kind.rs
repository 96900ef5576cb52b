//! Policies by name, for configuration files.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    Ketama, LeastConn, Maglev, NginxHash, P2c, Policy, Rendezvous, RingHash, WeightedRandom,
    WeightedRoundRobin,
};

/// A policy of this crate, by name.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum PolicyKind {
    /// [`Ketama`]
    Ketama,
    /// [`LeastConn`]
    LeastConn,
    /// [`Maglev`]
    Maglev,
    /// [`NginxHash`]
    NginxHash,
    /// [`P2c::least_conn`], the default
    #[default]
    P2c,
    /// [`WeightedRandom`]
    Random,
    /// [`Rendezvous`]
    Rendezvous,
    /// [`RingHash`]
    RingHash,
    /// [`WeightedRoundRobin`]
    WeightedRoundRobin,
}

impl PolicyKind {
    /// Every policy of this crate.
    pub const ALL: [Self; 9] = [
        Self::Ketama,
        Self::LeastConn,
        Self::Maglev,
        Self::NginxHash,
        Self::P2c,
        Self::Random,
        Self::Rendezvous,
        Self::RingHash,
        Self::WeightedRoundRobin,
    ];

    /// The policy with its default settings.
    pub fn build(self) -> Arc<dyn Policy> {
        match self {
            Self::Ketama => Arc::new(Ketama::new()),
            Self::LeastConn => Arc::new(LeastConn::new()),
            Self::Maglev => Arc::new(Maglev::new()),
            Self::NginxHash => Arc::new(NginxHash::new()),
            Self::P2c => Arc::new(P2c::least_conn()),
            Self::Random => Arc::new(WeightedRandom::new()),
            Self::Rendezvous => Arc::new(Rendezvous::new()),
            Self::RingHash => Arc::new(RingHash::new()),
            Self::WeightedRoundRobin => Arc::new(WeightedRoundRobin::new()),
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.build().name())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |kind: &Self| kind.build().name() == name;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| UnknownPolicy(name.into()))
    }
}

/// A name that no policy of this crate has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "no policy is called \"{0}\": use ketama, least_conn, maglev, nginx_hash, p2c, random, rendezvous, ring_hash or \
     weighted_round_robin"
)]
pub struct UnknownPolicy(Box<str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_policies() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "fastest".parse::<PolicyKind>().unwrap_err();
        for kind in PolicyKind::ALL {
            assert!(error.to_string().contains(&kind.to_string()), "{error}");
        }
    }
}
