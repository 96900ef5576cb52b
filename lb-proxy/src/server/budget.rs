//! The budget of file descriptors: how many sessions the process has room for.

use std::io;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use tracing::{info, warn};

/// One session in this number has a pipe in the budget. A long transfer may hold a pipe of two descriptors for each
/// direction. HAProxy's default is a quarter of the sessions, too. A relay that gets no pipe copies.
const PIPE_SHARE: u64 = 4;

/// The assumed number of descriptors in use if the system does not report it. A lower bound.
const ASSUMED_IN_USE: u64 = 64;

/// The assumed number of descriptors besides the listening sockets, if the system does not report it.
const ASSUMED_BESIDE: u64 = 16;

/// A directory with an entry for each open descriptor.
const OWN_DESCRIPTORS: &str = "/proc/self/fd";

/// How the descriptors of the process (`RLIMIT_NOFILE`) are divided.
///
/// Computed and logged when a proxy is bound, and again at each [reload](crate::Handle::reload). When all sessions of the
/// budget are open, accepting pauses until a sixteenth of them has ended. Meanwhile connections wait in the kernel's queue.
///
/// The proxies of a process share one budget: their sessions count together, whichever proxy accepted them.
#[doc(alias = "worker_rlimit_nofile", alias = "ulimit-n")]
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct DescriptorBudget {
    /// The limit of the process. `None`: no limit.
    pub limit: Option<u64>,
    /// In use without a session: what was open when the first proxy was bound, or a later one while there was no session, and
    /// the current listening sockets of all.
    pub in_use: u64,
    /// Reserved for everything but sessions, the probes of [health checks](crate::health) included: the largest reserve of
    /// the proxies.
    pub reserve: u64,
    /// Sessions that fit, each with two sockets, and every fourth with a pipe. At least 1.
    pub sessions: usize,
}

impl DescriptorBudget {
    /// Counts the open descriptors of the process, those of sessions included. The kernel has the number since Linux 6.2; before,
    /// this lists all of them: O(n).
    ///
    /// # Errors
    ///
    /// `/proc` is not mounted, or no descriptor is left to list it with.
    pub fn open_descriptors() -> io::Result<u64> {
        match std::fs::metadata(OWN_DESCRIPTORS)?.len() {
            0 => list(),
            open => Ok(open),
        }
    }

    /// Divides the current limit of the process. `listening` of its descriptors are listening sockets.
    pub(crate) fn of_process(listening: u64, reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Self::divide(
            limit,
            in_use(Self::open_descriptors(), limit, listening),
            reserve,
        )
    }

    /// Divides the current limit of the process again, with `listening` instead of `listened` listening sockets. Open
    /// sessions keep the descriptors in use from being counted.
    pub(crate) fn changed(&self, listened: u64, listening: u64, reserve: u64) -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        // The number that was assumed at the bind may be below that of the sockets that are closed now.
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
            // A proxy that serves one session after another is better than none.
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
            Some(limit) => info!(
                limit,
                in_use, reserve, sessions, "Descriptor budget computed"
            ),
            None => info!(in_use, "Descriptors are not limited"),
        }
    }
}

/// Counts the open descriptors, without the one that reading the directory takes.
fn list() -> io::Result<u64> {
    let open = std::fs::read_dir(OWN_DESCRIPTORS)?;
    Ok((open.count() as u64).saturating_sub(1))
}

/// The `counted` descriptors, or the assumed number if counting has failed.
fn in_use(counted: io::Result<u64>, limit: Option<u64>, listening: u64) -> u64 {
    let assumed = ASSUMED_IN_USE.max(listening.saturating_add(ASSUMED_BESIDE));
    counted.unwrap_or_else(|error| match limit {
        // Reading the directory found no free descriptor.
        Some(limit) if error.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => limit,
        _ => assumed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assumed_number_is_never_below_that_of_the_listening_sockets() {
        let denied = || Err(Errno::ACCESS.into());
        assert_eq!(in_use(Ok(7), Some(1024), 80), 7);
        assert_eq!(in_use(denied(), Some(1024), 1), 64);
        assert_eq!(in_use(denied(), Some(1024), 80), 96);
        assert_eq!(in_use(Err(Errno::MFILE.into()), Some(160), 150), 160);
        assert_eq!(in_use(Err(Errno::MFILE.into()), None, 150), 166);
    }

    #[test]
    fn the_kernel_and_the_list_count_the_same_descriptors() {
        let (_one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        // Other tests of this process open and close some.
        let agree = || {
            let (before, listed) = (DescriptorBudget::open_descriptors(), list());
            let (before, listed) = (before.unwrap(), listed.unwrap());
            before >= 5 && before == listed
        };
        assert!((0..10_000).any(|_| agree()));
    }

    #[test]
    fn a_count_below_the_listening_sockets_does_not_overflow() {
        let before = DescriptorBudget::divide(Some(1024), 64, 32);
        assert_eq!(before.changed(80, 80, 32).in_use, 80);
        assert_eq!(before.changed(80, 3, 32).in_use, 3);
        assert_eq!(before.changed(10, 12, 32).in_use, 66);
    }

    #[test]
    fn the_rest_is_divided_between_sockets_and_pipes() {
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
