//! How many sessions the process has descriptors for.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};

/// A bulk transfer may hold a pipe for each direction, which is two descriptors. Room is left for a quarter of the
/// sessions to have one, which is HAProxy's default too; without a pipe the relay copies.
const PIPE_SHARE: u64 = 4;

/// The least to count with where the system does not tell which descriptors are open.
const ASSUMED_IN_USE: u64 = 64;

/// What the process is assumed to have beside its listening descriptors, where the system does not tell.
const ASSUMED_BESIDE: u64 = 16;

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
    /// Divides what the process may have now, where `listening` of its descriptors are listening sockets.
    pub(crate) fn of_process(listening: u64, reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::divide(limit, in_use(count(), limit, listening), reserve)
    }

    /// Divides what the process may have now, where `listening` instead of `listened` descriptors are listening sockets.
    /// Sessions are open, so what is in use cannot be counted.
    pub(crate) fn changed(&self, listened: u64, listening: u64, reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        // What was assumed at the bind may be less than the sockets that are closed now.
        let beside = self.in_use.saturating_sub(listened);
        Self::divide(limit, beside.saturating_add(listening), reserve)
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

/// Counts the open descriptors. The look itself uses one.
fn count() -> io::Result<u64> {
    let open = std::fs::read_dir("/proc/self/fd")?;
    Ok((open.count() as u64).saturating_sub(1))
}

/// What is in use by `counted`, or what to assume where the count has failed.
fn in_use(counted: io::Result<u64>, limit: Option<u64>, listening: u64) -> u64 {
    let assumed = ASSUMED_IN_USE.max(listening.saturating_add(ASSUMED_BESIDE));
    counted.unwrap_or_else(|error| match limit {
        // The look found no free descriptor.
        Some(limit) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => limit,
        _ => assumed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_counted_is_assumed_and_never_less_than_the_listening_sockets() {
        let denied = || Err(Errno::ACCESS.into());
        assert_eq!(in_use(Ok(7), Some(1024), 80), 7);
        assert_eq!(in_use(denied(), Some(1024), 1), 64);
        assert_eq!(in_use(denied(), Some(1024), 80), 96);
        assert_eq!(in_use(Err(Errno::MFILE.into()), Some(160), 150), 160);
        assert_eq!(in_use(Err(Errno::MFILE.into()), None, 150), 166);
    }

    #[test]
    fn a_count_below_the_listening_sockets_does_not_overflow() {
        let before = DescriptorBudget::divide(Some(1024), 64, 32);
        assert_eq!(before.changed(80, 80, 32).in_use, 80);
        assert_eq!(before.changed(80, 3, 32).in_use, 3);
        assert_eq!(before.changed(10, 12, 32).in_use, 66);
    }

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
