//! `loadBalancerSourceRanges`.

use ipnet::IpNet;

/// Reads the networks whose clients are served. `None`: all.
///
/// An entry that is no network admits no client: together with the valid ones it stays a restriction. The second value has
/// the invalid entries.
pub(crate) fn source_ranges(entries: &[String]) -> (Option<Vec<IpNet>>, Vec<String>) {
    if entries.is_empty() {
        return (None, Vec::new());
    }
    let mut invalid = Vec::new();
    let mut networks = Vec::new();
    for entry in entries {
        // The API server accepts and stores spaces around an entry.
        match entry.trim().parse::<IpNet>() {
            Ok(network) => networks.push(network.trunc()),
            Err(_) => invalid.push(entry.chars().take(50).collect()),
        }
    }
    (Some(networks), invalid)
}
