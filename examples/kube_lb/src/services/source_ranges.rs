//! `loadBalancerSourceRanges`.

use ipnet::IpNet;

/// The most networks of one list. Every new connection is compared with them.
const MOST_NETWORKS: usize = 4096;

/// Reads the networks whose clients are served. `None`: all.
///
/// An entry that is no network, or is above the limit, admits no client: together with the other ones it stays a restriction. The second
/// value says what is wrong with such entries.
pub(crate) fn source_ranges(entries: &[String]) -> (Option<Vec<IpNet>>, Vec<String>) {
    if entries.is_empty() {
        return (None, Vec::new());
    }
    let mut problems = Vec::new();
    let mut networks = Vec::new();
    for entry in entries.iter().take(MOST_NETWORKS) {
        // The API server accepts and stores spaces around an entry.
        match entry.trim().parse::<IpNet>() {
            Ok(network) => networks.push(network.trunc()),
            Err(_) => {
                let entry: String = entry.chars().take(50).collect();
                problems.push(format!("{entry:?} is no network, and admits no client"));
            }
        }
    }
    if entries.len() > MOST_NETWORKS {
        problems.push(format!(
            "the networks behind the first {MOST_NETWORKS} admit no client"
        ));
    }
    (Some(networks), problems)
}
