//! How many sessions the process has descriptors for.

use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};

/// A bulk transfer may hold a pipe for each direction, which is two descriptors. Room is left for a quarter of the
/// sessions to have one, which is HAProxy's default too; without a pipe the relay copies.
const PIPE_SHARE: u64 = 4;

/// What to count with where the system does not tell which descriptors are open.
const ASSUMED_IN_USE: u64 = 64;

/// How the descriptors that the process may have (`RLIMIT_NOFILE`) are divided.
///
/// Computed when a proxy is bound, and again at each [reload](crate::Handle::reload), and logged. When all its sessions are
/// open, accepting pauses until a sixteenth of them has ended; meanwhile connections wait in the kernel's queue.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorBudget {
    /// The limit. `None` is no limit.
    pub limit: Option<u64>,
    /// In use without a session: what was open when the proxy was bound, and its listening sockets of now.
    pub in_use: u64,
    /// Kept for everything but sessions.
    pub reserve: u64,
    /// Sessions there is room for, each with two sockets, and a pipe for every fourth.
    pub sessions: usize,
}

impl DescriptorBudget {
    /// Divides what the process may have now.
    pub(crate) fn of_process(reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        // The look itself uses one.
        let in_use = std::fs::read_dir("/proc/self/fd").map(|open| open.count() as u64 - 1);
        Self::divide(limit, in_use.unwrap_or(ASSUMED_IN_USE), reserve)
    }

    /// Divides what the process may have now, where `listening` instead of `listened` descriptors are listening sockets.
    /// Sessions are open, so what is in use cannot be counted.
    pub(crate) fn changed(&self, listened: u64, listening: u64, reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::divide(limit, self.in_use - listened + listening, reserve)
    }

    fn divide(limit: Option<u64>, in_use: u64, reserve: u64) -> Self {
        let sessions = limit.map_or(u64::MAX, |limit| {
            let left = limit.saturating_sub(in_use).saturating_sub(reserve);
            // n sessions and n / 4 pipes of two descriptors each.
            left / 2 * PIPE_SHARE / (PIPE_SHARE + 1)
        });
        Self {
            limit,
            in_use,
            reserve,
            // A proxy that serves one after another is better than none.
            sessions: usize::try_from(sessions).unwrap_or(usize::MAX).max(1),
        }
    }

    pub(crate) fn log(&self) {
        let Self {
            limit,
            in_use,
            reserve,
            sessions,
        } = *self;
        match limit {
            Some(limit) if sessions < 16 => {
                warn!(
                    limit,
                    in_use, reserve, sessions, "Too few descriptors: raise RLIMIT_NOFILE"
                );
            }
            Some(limit) => info!(limit, in_use, reserve, sessions, "Descriptors divided"),
            None => info!(in_use, "Descriptors are not limited"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_divided_between_sockets_and_pipes() {
        let sessions = |limit, in_use| DescriptorBudget::divide(limit, in_use, 32).sessions;
        assert_eq!(sessions(Some(256), 24), 80);
        assert_eq!(sessions(Some(65536), 36), 26187);
        assert_eq!(sessions(Some(40), 24), 1);
        assert_eq!(sessions(None, 24), usize::MAX);
    }

    proptest::proptest! {
        #[test]
        fn sessions_and_pipes_fit_beside_the_rest(limit in 0_u64..1 << 40, in_use in 0_u64..4096) {
            let sessions = DescriptorBudget::divide(Some(limit), in_use, 32).sessions as u64;
            let used = in_use + 32 + 2 * sessions + 2 * (sessions / PIPE_SHARE);
            proptest::prop_assert!(sessions == 1 || used <= limit);
        }
    }
}
