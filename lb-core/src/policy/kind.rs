//! Policies by name, for configuration files.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{
    First, Ketama, LeastConn, LeastTime, Maglev, NginxHash, P2c, Policy, RandomTwo, Rendezvous,
    RingHash, WeightedRandom, WeightedRoundRobin,
};

macro_rules! kinds {
    ($($(#[$attribute:meta])* $kind:ident = $name:literal => $policy:expr,)*) => {
        /// A policy of this crate, by name.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
        #[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum PolicyKind {
            $($(#[$attribute])* $kind,)*
        }

        impl PolicyKind {
            /// Every policy of this crate.
            pub const ALL: [Self; [$(stringify!($kind)),*].len()] = [$(Self::$kind),*];

            /// The name in configuration and metrics, as [`Policy::name`]. Never changes.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The policy with its default settings.
            pub fn build(self) -> Arc<dyn Policy> {
                match self {
                    $(Self::$kind => Arc::new($policy),)*
                }
            }
        }
    };
}

impl PolicyKind {
    /// Whether the policy hashes the key of a connection. The other policies ignore it.
    pub const fn uses_key(self) -> bool {
        matches!(
            self,
            Self::Ketama | Self::Maglev | Self::NginxHash | Self::Rendezvous | Self::RingHash
        )
    }
}

kinds! {
    /// [`First`]
    First = "first" => First::new(),
    /// [`Ketama`]
    Ketama = "ketama" => Ketama::new(),
    /// [`LeastConn`]
    LeastConn = "least_conn" => LeastConn::new(),
    /// [`LeastTime`]
    LeastTime = "least_time" => LeastTime::new(),
    /// [`Maglev`]
    Maglev = "maglev" => Maglev::new(),
    /// [`NginxHash`]
    NginxHash = "nginx_hash" => NginxHash::new(),
    /// [`P2c::least_conn`], the default
    #[default]
    P2c = "p2c" => P2c::least_conn(),
    /// [`P2c::peak_ewma`]
    P2cPeakEwma = "p2c_peak_ewma" => P2c::peak_ewma(),
    /// [`WeightedRandom`]
    Random = "random" => WeightedRandom::new(),
    /// [`RandomTwo`]
    RandomTwo = "random_two" => RandomTwo::new(),
    /// [`Rendezvous`]
    Rendezvous = "rendezvous" => Rendezvous::new(),
    /// [`RingHash`]
    RingHash = "ring_hash" => RingHash::new(),
    /// [`WeightedRoundRobin`]
    WeightedRoundRobin = "weighted_round_robin" => WeightedRoundRobin::new(),
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyKind {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |kind: &Self| kind.as_str() == name;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| UnknownPolicy(name.into()))
    }
}

/// A name that no policy of this crate has.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no policy is called \"{0}\": use one of {names}", names = names())]
pub struct UnknownPolicy(Box<str>);

fn names() -> String {
    PolicyKind::ALL.map(PolicyKind::as_str).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_name_what_a_policy_was_built_with() {
        use crate::policy::BalanceFactor;
        let text = |policy: &dyn Policy| {
            let settings = policy.settings().into_iter();
            let all = settings.map(|(name, value)| format!("{name}={value}"));
            all.collect::<Vec<_>>().join(" ")
        };
        let factor = BalanceFactor::percent(125);
        let maglev = Maglev::try_new(13).unwrap();
        assert_eq!(text(&maglev), "table_size=13");
        let bounded = Arc::new(maglev.balance_factor(factor));
        assert_eq!(text(&bounded), "table_size=13 balance_factor=125%");
        let rendezvous = Rendezvous::new().balance_factor(factor);
        assert_eq!(text(&rendezvous), "balance_factor=125%");
        let time = LeastTime::first_byte().in_flight(true);
        assert_eq!(text(&time), "measure=first_byte in_flight=on");
        assert_eq!(text(&Ketama::new().max_points(9)), "max_points=9");
        let ring = text(&RingHash::new());
        assert!(ring.starts_with("min_size=1024 max_size="), "{ring}");
        for kind in [PolicyKind::WeightedRoundRobin, PolicyKind::P2c] {
            assert_eq!(text(&*kind.build()), "");
        }
    }

    #[test]
    fn the_policies_that_have_a_digest_use_the_key() {
        use crate::{Backend, Snapshot, Timestamp};
        for kind in PolicyKind::ALL {
            let (mut updater, balancer) = crate::balancer(kind.build());
            let backends = [1, 2].map(|port| Backend::new(([10, 0, 0, 1], port).into()));
            updater.apply(&Snapshot::from_backends(backends), Timestamp::from_nanos(0));
            assert_eq!(kind.uses_key(), !balancer.digests().is_empty(), "{kind}");
        }
    }

    #[test]
    fn every_name_parses_to_its_policy() {
        for kind in PolicyKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            assert_eq!(kind.as_str(), kind.build().name());
        }
        let error = "fastest".parse::<PolicyKind>().unwrap_err();
        for kind in PolicyKind::ALL {
            assert!(error.to_string().contains(&kind.to_string()), "{error}");
        }
    }
}
