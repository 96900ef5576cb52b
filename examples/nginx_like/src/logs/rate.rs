//! Limits how many lines of one kind about one client a storm writes.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many lines of one kind about one client are written at once.
const BURST: u32 = 1000;

/// How long one further line takes.
const EVERY: Duration = Duration::from_millis(10);

/// How long lines are counted before their number is written.
pub(crate) const REPORT_AFTER: Duration = Duration::from_secs(1);

/// How many pairs of a kind and a client have a bucket of their own.
const BUCKETS: usize = 256;

/// How long the bucket of a client is kept after it is full again.
const KEPT: Duration = Duration::from_secs(1);

/// How often buckets that are no longer needed are looked for.
const SWEEP: Duration = Duration::from_millis(100);

/// Counts the lines of each kind and client: a token bucket of 1000 lines, and 100 further ones each second.
///
/// So a client that causes a storm hides no line about another one. While 256 clients have buckets, the others share one
/// for each kind. The kinds are texts of this program, so their number is bounded.
#[derive(Debug, Default)]
pub(crate) struct StormLimit(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    by_key: HashMap<BucketKey, Bucket>,
    swept_at: Option<Instant>,
}

#[derive(Debug)]
struct Bucket {
    /// When the bucket is full again.
    full_at: Instant,
    suppressed: u64,
}

/// The lines that one bucket counts.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct BucketKey {
    pub(crate) kind: &'static str,
    /// `None`: all clients without a bucket of their own.
    pub(crate) client: Option<Client>,
}

/// A client, as far as its address differs from others: one host has a whole /64 of IPv6.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Client {
    V4(Ipv4Addr),
    /// The first address of the /64.
    V6(Ipv6Addr),
    Unix,
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6(Ipv6Addr::from_bits(ip.to_bits() & !0 << 64)),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(ip) => ip.fmt(f),
            Self::V6(ip) => write!(f, "{ip}/64"),
            Self::Unix => f.write_str("unix:"),
        }
    }
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RateDecision {
    Write,
    /// It is not written. `begins` is its bucket if that suppressed no line since the last [`take`](StormLimit::take), so
    /// that the caller must see to it that the number is written.
    Suppress {
        begins: Option<BucketKey>,
    },
}

impl StormLimit {
    /// Counts a line of `kind` about `client`.
    pub(crate) fn admit(&self, kind: &'static str, client: Client, now: Instant) -> RateDecision {
        let mut buckets = self.lock();
        let key = buckets.key(kind, client, now);
        let bucket = buckets.by_key.entry(key).or_insert(Bucket {
            full_at: now,
            suppressed: 0,
        });
        let full_at = bucket.full_at.max(now) + EVERY;
        if full_at > now + EVERY * BURST {
            bucket.suppressed += 1;
            return RateDecision::Suppress {
                begins: (bucket.suppressed == 1).then_some(key),
            };
        }
        bucket.full_at = full_at;
        RateDecision::Write
    }

    /// How many lines a bucket suppressed since the last call.
    pub(crate) fn take(&self, key: BucketKey) -> u64 {
        let mut buckets = self.lock();
        let bucket = buckets.by_key.get_mut(&key);
        bucket.map_or(0, |bucket| std::mem::take(&mut bucket.suppressed))
    }

    /// No code that can panic runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Buckets> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buckets {
    /// The bucket for a line: that of the client, if it has one or there is room for it.
    fn key(&mut self, kind: &'static str, client: Client, now: Instant) -> BucketKey {
        let own = BucketKey {
            kind,
            client: Some(client),
        };
        if self.by_key.contains_key(&own) || self.has_room(now) {
            return own;
        }
        BucketKey { kind, client: None }
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let swept = self.swept_at.map(|at| now.duration_since(at));
        if self.by_key.len() >= BUCKETS && swept.is_none_or(|age| age >= SWEEP) {
            self.swept_at = Some(now);
            self.by_key
                .retain(|_, bucket| bucket.suppressed > 0 || bucket.full_at + KEPT > now);
        }
        self.by_key.len() < BUCKETS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Client = Client::V4(Ipv4Addr::new(127, 0, 0, 2));

    fn other(number: u32) -> Client {
        Client::V4(Ipv4Addr::from_bits(0x0a00_0000 + number))
    }

    fn written(limit: &StormLimit, client: Client, count: u32, now: Instant) -> usize {
        let verdicts = (0..count).map(|_| limit.admit("refused", client, now));
        verdicts
            .filter(|verdict| *verdict == RateDecision::Write)
            .count()
    }

    #[test]
    fn a_storm_is_cut_and_counted_and_ends() {
        let limit = StormLimit::default();
        let begin = Instant::now();
        let key = BucketKey {
            kind: "refused",
            client: Some(ONE),
        };
        assert_eq!(written(&limit, ONE, 5000, begin), 1000);
        assert_eq!(limit.admit("denied", ONE, begin), RateDecision::Write);
        assert_eq!(limit.take(key), 4000);
        assert_eq!(limit.take(key), 0);
        let first = RateDecision::Suppress { begins: Some(key) };
        assert_eq!(limit.admit("refused", ONE, begin), first);
        let second = RateDecision::Suppress { begins: None };
        assert_eq!(limit.admit("refused", ONE, begin), second);
        let later = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(written(&limit, ONE, 5000, later(1)), 100);
        assert_eq!(written(&limit, ONE, 5000, later(60)), 1000);
    }

    #[test]
    fn a_storm_of_one_client_hides_no_line_about_another() {
        let limit = StormLimit::default();
        let now = Instant::now();
        assert_eq!(written(&limit, ONE, 1300, now), 1000);
        assert_eq!(written(&limit, other(1), 1000, now), 1000);
        // The addresses of one /64 are one client.
        let v6 = |text: &str| Client::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(written(&limit, v6("2001:db8::1"), 1000, now), 1000);
        assert_eq!(written(&limit, v6("2001:db8::2"), 1000, now), 0);
        assert_eq!(written(&limit, v6("2001:db8:0:1::2"), 1, now), 1);
        assert_eq!(v6("2001:db8::2").to_string(), "2001:db8::/64");
        assert_eq!(v6("::ffff:127.0.0.2"), ONE);
    }

    #[test]
    fn clients_beyond_the_bound_share_a_bucket_until_others_need_theirs_no_longer() {
        let limit = StormLimit::default();
        let now = Instant::now();
        let many = (0..100_000).map(|number| written(&limit, other(number), 1, now));
        assert_eq!(many.sum::<usize>(), BUCKETS + 1000);
        assert!(limit.lock().by_key.len() <= BUCKETS + 1);
        let later = now + 2 * KEPT;
        assert_eq!(written(&limit, other(100_000), 1000, later), 1000);
        assert_eq!(written(&limit, other(100_001), 1000, later), 1000);
    }
}
