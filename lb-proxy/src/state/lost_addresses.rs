//! Local addresses that have left the machine, and how long the sessions that were accepted on them last.

use std::collections::HashMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How many lost addresses are remembered. More than a machine loses while sessions of them last.
const MOST: usize = 1024;

/// How long an address is remembered after its sessions have ended: a session may have been accepted before the loss and
/// relay only after it. Meanwhile sessions that begin to relay cost a system call and an allocation more.
const KEPT: Duration = Duration::from_secs(300);

/// The local addresses that have left the machine.
#[derive(Debug)]
pub(crate) struct LostAddresses {
    state: Mutex<State>,
    /// Whether some address is lost, so that a session that begins to relay reads one word.
    are_some: AtomicBool,
    /// Whether the sessions are about to be asked.
    is_asking: AtomicBool,
    /// Notified when an address returns, and when the time-out changes.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    /// How long sessions outlast their address. `None`: for ever, and no address is remembered.
    timeout: Option<Duration>,
    /// When each was lost.
    lost: HashMap<IpAddr, Instant>,
}

impl LostAddresses {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            are_some: AtomicBool::new(false),
            is_asking: AtomicBool::new(false),
            changed: watch::Sender::new(()),
        }
    }

    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) {
        let mut state = self.lock();
        if state.timeout == timeout {
            return;
        }
        state.timeout = timeout;
        if timeout.is_none() {
            state.lost.clear();
            self.are_some.store(false, SeqCst);
        }
        drop(state);
        self.changed.send_replace(());
    }

    /// Remembers that `ip` is lost since now. Returns whether the caller has to ask the sessions:
    /// not without a time-out, and not if [`begin_asking`](Self::begin_asking) is still to come after an earlier loss.
    pub(crate) fn note_lost(&self, ip: IpAddr) -> bool {
        let mut state = self.lock();
        if state.timeout.is_none() {
            return false;
        }
        let ip = ip.to_canonical();
        if state.lost.len() >= MOST && !state.lost.contains_key(&ip) {
            let oldest = state.lost.iter().min_by_key(|(_, since)| **since);
            let oldest = oldest.map(|(ip, _)| *ip);
            oldest.and_then(|ip| state.lost.remove(&ip));
        }
        state.lost.entry(ip).or_insert_with(Instant::now);
        self.are_some.store(true, SeqCst);
        drop(state);
        !self.is_asking.swap(true, SeqCst)
    }

    /// The sessions are asked from now on: a later loss has to ask them again.
    pub(crate) fn begin_asking(&self) {
        self.is_asking.store(false, SeqCst);
    }

    /// `ip` is on the machine again. Returns whether it was lost.
    pub(crate) fn note_returned(&self, ip: IpAddr) -> bool {
        let mut state = self.lock();
        let was_lost = state.lost.remove(&ip.to_canonical()).is_some();
        self.are_some.store(!state.lost.is_empty(), SeqCst);
        drop(state);
        if was_lost {
            self.changed.send_replace(());
        }
        was_lost
    }

    /// Forgets addresses whose last session has ended. One load if none is lost.
    pub(crate) fn tidy(&self) {
        if !self.are_some() {
            return;
        }
        let mut state = self.lock();
        let kept = state.timeout.unwrap_or_default().saturating_add(KEPT);
        state.lost.retain(|_, since| since.elapsed() < kept);
        self.are_some.store(!state.lost.is_empty(), SeqCst);
    }

    /// Whether an address is lost. One load.
    pub(crate) fn are_some(&self) -> bool {
        self.are_some.load(SeqCst)
    }

    /// Completes when the sessions of `ip` have to end. Never completes if the address is not lost now, or returns.
    pub(crate) async fn orphaned(&self, ip: IpAddr) {
        let ip = ip.to_canonical();
        let mut changed = self.changed.subscribe();
        while let Some(deadline) = self.deadline(ip) {
            if deadline <= Instant::now() {
                return;
            }
            select! {
                () = sleep_until(deadline) => {}
                // The sender lives as long as `self`.
                _ = changed.changed() => {}
            }
        }
        pending().await
    }

    /// When the sessions of `ip` have to end, if it is lost.
    fn deadline(&self, ip: IpAddr) -> Option<Instant> {
        let state = self.lock();
        let lost = *state.lost.get(&ip)?;
        // A time-out beyond what the clock can express never comes.
        lost.checked_add(state.timeout?)
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const IP: &str = "192.0.2.1";
    const SECOND: Duration = Duration::from_secs(1);

    fn ip() -> IpAddr {
        IP.parse().unwrap()
    }

    fn with_timeout(timeout: Duration) -> LostAddresses {
        let lost = LostAddresses::new();
        lost.set_timeout(Some(timeout));
        lost
    }

    #[tokio::test(start_paused = true)]
    async fn an_orphan_lasts_for_the_time_since_the_loss() {
        let lost = with_timeout(10 * SECOND);
        assert!(lost.note_lost(ip()) && lost.are_some());
        assert!(!lost.note_lost(ip()), "a question is pending");
        let begin = Instant::now();
        tokio::time::advance(4 * SECOND).await;
        // An IPv4 client of an IPv6 socket.
        lost.orphaned(format!("::ffff:{IP}").parse().unwrap()).await;
        assert_eq!(begin.elapsed(), 10 * SECOND);
        lost.begin_asking();
        assert!(lost.note_lost(ip()));
        assert_eq!(lost.orphaned(ip()).now_or_never(), Some(()), "still lost");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_returns_ends_no_session() {
        let lost = with_timeout(10 * SECOND);
        lost.note_lost(ip());
        let mut waiting = Box::pin(lost.orphaned(ip()));
        assert_eq!((&mut waiting).now_or_never(), None);
        assert!(lost.note_returned(ip()) && !lost.note_returned(ip()));
        assert!(!lost.are_some());
        let waited = tokio::time::timeout(60 * SECOND, waiting).await;
        assert!(waited.is_err());
        let other = "192.0.2.2".parse().unwrap();
        lost.note_lost(other);
        assert_eq!(lost.orphaned(ip()).now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reload_changes_the_time_of_those_that_wait() {
        let lost = with_timeout(100 * SECOND);
        lost.note_lost(ip());
        let begin = Instant::now();
        let shorter = async {
            tokio::time::sleep(SECOND).await;
            lost.set_timeout(Some(2 * SECOND));
        };
        tokio::join!(lost.orphaned(ip()), shorter);
        assert_eq!(begin.elapsed(), 2 * SECOND);
        lost.set_timeout(None);
        assert!(!lost.are_some() && !lost.note_lost(ip()) && !lost.are_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_forgotten_long_after_its_sessions_have_ended() {
        let lost = with_timeout(10 * SECOND);
        lost.note_lost(ip());
        tokio::time::advance(10 * SECOND + KEPT - SECOND).await;
        lost.tidy();
        assert!(lost.are_some());
        assert_eq!(lost.orphaned(ip()).now_or_never(), Some(()));
        tokio::time::advance(SECOND).await;
        lost.tidy();
        assert!(!lost.are_some());
        assert_eq!(lost.orphaned(ip()).now_or_never(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_is_remembered() {
        let lost = with_timeout(SECOND);
        for n in 0..=u32::try_from(MOST).unwrap() {
            lost.note_lost(IpAddr::from(n.to_be_bytes()));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert_eq!(lost.lock().lost.len(), MOST);
        let newest = u32::try_from(MOST).unwrap();
        lost.note_lost(IpAddr::from(newest.to_be_bytes()));
        assert_eq!(lost.lock().lost.len(), MOST, "a known one replaces none");
        assert!(!lost.note_returned(IpAddr::from([0; 4])), "the oldest");
    }
}
