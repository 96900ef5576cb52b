//! Who a backend is to the hashing policies, whatever its place in a snapshot.

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::hash::xxh64;
use crate::set::Tier;

/// One number for each backend of `tier`: the XXH64 of `name:port`, or of its address as text if it has no name or
/// shares the name and port with others of the tier, as the addresses of one DNS name do.
pub(crate) fn identities(tier: &Tier) -> Box<[u64]> {
    let mut text = String::new();
    let mut hash = |name: &dyn std::fmt::Display| {
        text.clear();
        // Writing to a string cannot fail.
        let _ = write!(text, "{name}");
        xxh64(text.as_bytes(), 0)
    };
    let named: Vec<Option<u64>> = tier
        .indices()
        .map(|i| {
            let backend = tier.backend(i);
            let name = backend.name.as_deref()?;
            Some(hash(&format_args!("{name}:{}", backend.addr.port())))
        })
        .collect();
    let mut seen = BTreeSet::new();
    let mut shared = BTreeSet::new();
    for &name in named.iter().flatten() {
        if !seen.insert(name) {
            shared.insert(name);
        }
    }
    tier.indices()
        .zip(named)
        .map(|(i, name)| {
            name.filter(|name| !shared.contains(name))
                .unwrap_or_else(|| hash(&tier.backend(i).addr))
        })
        .collect()
}
