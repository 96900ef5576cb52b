//! What settings refer to by name.

use std::collections::BTreeMap;

use super::error::SettingsError;
use crate::limits::ClientZone;
use crate::upstream::Upstream;

/// The upstreams and the zones of clients.
pub(super) struct NamedParts {
    pub(super) upstreams: BTreeMap<Box<str>, Upstream>,
    pub(super) zones: BTreeMap<Box<str>, ClientZone>,
}

impl NamedParts {
    pub(super) fn upstream(&self, name: &str, place: &str) -> Result<&Upstream, SettingsError> {
        find(&self.upstreams, "upstream", name, place)
    }

    pub(super) fn zone(&self, name: &str, place: &str) -> Result<&ClientZone, SettingsError> {
        find(&self.zones, "client zone", name, place)
    }
}

fn find<'a, T>(
    all: &'a BTreeMap<Box<str>, T>,
    what: &str,
    name: &str,
    place: &str,
) -> Result<&'a T, SettingsError> {
    all.get(name).ok_or_else(|| {
        let known: Vec<&str> = all.keys().map(|name| &**name).collect();
        let problem = match known.is_empty() {
            true => format!("no {what} is called {name:?}: there is none"),
            false => format!(
                "no {what} is called {name:?}: use one of {}",
                known.join(", ")
            ),
        };
        SettingsError::at(place, problem)
    })
}
