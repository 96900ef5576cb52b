//! Zone preference: connections go to backends of the preferred zone, the near ones, while enough are healthy.
//!
//! In each priority the backends of the balancer's own zone get all connections while enough of them are healthy. Below
//! that the rest spills to the other zones, by Envoy's formula for localities: near backends get their healthy share
//! times the overprovisioning factor. With 1.4 that is all connections down to 72 % healthy. A zone with too few backends
//! is not preferred, because the load of its clients could be more than they can serve. Where a source gives hints
//! ([`Backend::for_zones`](field@Backend::for_zones)), these say which backends are near.

use std::sync::Arc;

use crate::backend::Backend;

/// Which zone is preferred, and how many healthy backends it needs.
#[doc(alias = "locality", alias = "topology aware routing")]
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ZonePreference {
    /// The balancer's own zone, as in [`Backend::zone`](field@Backend::zone).
    pub zone: Arc<str>,
    /// The factor, in percent, by which the healthy share is multiplied. Default: 140, as Envoy's.
    #[cfg_attr(
        feature = "serde",
        serde(
            alias = "overprovisioning_factor",
            default = "default_overprovisioning",
            with = "crate::serde_form::Percent::<100, 65535>"
        )
    )]
    pub overprovisioning: u16,
    /// The fewest healthy backends that a zone must have to be preferred. Default: 1.
    #[cfg_attr(feature = "serde", serde(default = "default_min_backends"))]
    pub min_backends: u32,
}

const fn default_overprovisioning() -> u16 {
    140
}

const fn default_min_backends() -> u32 {
    1
}

impl ZonePreference {
    /// Prefers the backends of `zone`.
    pub fn new(zone: impl Into<Arc<str>>) -> Self {
        Self {
            zone: zone.into(),
            overprovisioning: default_overprovisioning(),
            min_backends: default_min_backends(),
        }
    }

    /// Sets [`overprovisioning`](field@Self::overprovisioning), in percent. Below 100 as 100.
    #[must_use]
    pub fn overprovisioning(mut self, percent: u16) -> Self {
        self.overprovisioning = percent.max(100);
        self
    }

    /// Sets [`min_backends`](field@Self::min_backends).
    #[must_use]
    pub const fn min_backends(mut self, backends: u32) -> Self {
        self.min_backends = backends;
        self
    }

    /// Whether `backend` is near: its hints name the zone, or it has none and is in the zone.
    pub(crate) fn contains(&self, backend: &Backend) -> bool {
        if backend.for_zones.is_empty() {
            backend.zone.as_deref() == Some(&*self.zone)
        } else {
            backend.for_zones.contains(&self.zone)
        }
    }

    /// The part of the share `whole` of a priority that its near tier gets, where `healthy` of `near` near backends are
    /// healthy and there are `far` others.
    pub(crate) fn near_part(&self, healthy: u32, near: u32, far: u32, whole: u32) -> u32 {
        let [healthy, near, far, whole] = [healthy, near, far, whole].map(u64::from);
        let part = if near == 0 {
            0
        } else if far == 0 {
            whole
        } else if healthy < self.min_backends.into() {
            whole * near / (near + far)
        } else {
            whole * healthy * u64::from(self.overprovisioning) / (100 * near)
        };
        part.min(whole) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_backends_get_all_connections_while_most_are_healthy() {
        let zone = ZonePreference::new("a");
        let part = |healthy| zone.near_part(healthy, 10, 20, 1000);
        assert_eq!([10, 8, 5, 1].map(part), [1000, 1000, 700, 140]);
        assert_eq!(part(0), 333, "none is healthy: by numbers");
        assert_eq!(zone.near_part(1, 5, 0, 1000), 1000, "there are no others");
        assert_eq!(zone.near_part(0, 0, 5, 1000), 0);
    }

    #[test]
    fn hints_take_precedence_over_the_zone() {
        let zone = ZonePreference::new("a");
        let backend = Backend::new(([127, 0, 0, 1], 446).into());
        assert!(!zone.contains(&backend));
        let in_a = backend.zone("a");
        assert!(zone.contains(&in_a));
        let hinted = |zones: &[&str]| {
            let zones = zones.iter().copied().map(Arc::from);
            in_a.clone().for_zones(zones.collect::<Vec<_>>())
        };
        assert!(zone.contains(&hinted(&["b", "a"])));
        assert!(!zone.contains(&hinted(&["b"])));
    }

    #[test]
    fn a_zone_with_few_backends_is_not_preferred() {
        let zone = ZonePreference::new("a").min_backends(3);
        assert_eq!(zone.near_part(2, 2, 8, 1000), 200);
        assert_eq!(zone.near_part(3, 3, 9, 1000), 1000);
    }
}
