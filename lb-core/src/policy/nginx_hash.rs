//! nginx's `hash key`, the modulo method.
//!
//! The key's CRC-32 modulo the sum of all weights is a unit of weight, counted in the snapshot's order, and goes to
//! the backend that owns it. If that one is not eligible, the key is hashed again with the number of the attempt in
//! front, and the result added: `hash += (crc32([rehash] key) >> 16) & 0x7fff`. After 21 attempts, and for a
//! connection without a key, smooth weighted round robin decides, in nginx's order also while a server refuses
//! ([`WeightedRoundRobin`](crate::policy::WeightedRoundRobin) has its limits). All this is
//! `ngx_stream_upstream_hash_module.c`, compatible with Cache::Memcached: the same key goes to the same server as with
//! nginx.
//!
//! Two differences. nginx keeps the units of a server that is `down` and hashes its keys again; here a draining
//! backend is not in the tier, so draining one moves keys like removing it. And every backend that a connection
//! failed on counts as an attempt when it picks again, which nginx does not count.
//!
//! Cost: O(log n) a pick, one CRC of the key an attempt; 12 bytes a backend.
//!
//! Not where membership changes: a backend that joins or leaves moves nearly all keys
//! ([`Ketama`](crate::policy::Ketama) moves few). Not for sums of weights near 32768 and above: a first attempt
//! reaches no later unit than that, which is nginx's too.

use crate::hash::{Crc32, fold, of_addr};
use crate::pick::context::PickContext;
use crate::policy::parts::sequence::Sequence;
use crate::policy::{Picker, Policy};
use crate::tiers::tier::{BackendIndex, Tier};

/// nginx's limit of attempts beyond the first.
const REHASHES: u8 = 20;

/// CRC-32 of the key modulo the sum of weights.
#[doc(alias = "hash", alias = "map-based", alias = "source")]
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NginxHash;

impl NginxHash {
    /// The policy; it has no settings.
    pub const fn new() -> Self {
        Self
    }
}

impl Policy for NginxHash {
    fn name(&self) -> &'static str {
        "nginx_hash"
    }

    fn compile(&self, tier: &Tier) -> Box<dyn Picker> {
        let mut end = 0;
        let ends = tier.weights().map(|weight| {
            end += u64::from(weight.get());
            end
        });
        Box::new(NginxHashPicker {
            ends: ends.collect(),
            turns: Sequence::new(tier.weights()),
        })
    }
}

#[derive(Debug)]
struct NginxHashPicker {
    /// Where each backend's units end.
    ends: Box<[u64]>,
    turns: Sequence,
}

impl NginxHashPicker {
    fn owner(&self, hash: u64) -> Option<BackendIndex> {
        let unit = hash.checked_rem(*self.ends.last()?)?;
        let before = self.ends.partition_point(|&end| end <= unit);
        Some(BackendIndex::new(before as u32))
    }
}

impl Picker for NginxHashPicker {
    fn pick(&self, cx: &mut PickContext<'_>) -> Option<BackendIndex> {
        if let Some(key) = cx.key() {
            let mut hash = 0;
            for rehash in 0..=REHASHES {
                hash += u64::from((numbered(rehash, key) >> 16) & 0x7fff);
                let owner = self.owner(hash)?;
                if cx.is_eligible(owner) {
                    return Some(owner);
                }
            }
        }
        self.turns.next(cx)
    }

    fn digest(&self, tier: &Tier) -> Option<u64> {
        let owners = tier.indices().map(|i| of_addr(tier.backend(i).addr));
        let units = self.ends.iter().copied().zip(owners);
        Some(fold(units.flat_map(|(end, owner)| [end, owner])))
    }
}

/// The CRC-32 of `key` behind the decimal digits of `rehash`, if that is not 0.
fn numbered(rehash: u8, key: &[u8]) -> u32 {
    let digits = [b'0' + rehash / 10, b'0' + rehash % 10];
    let written = match rehash {
        0 => &[],
        1..10 => &digits[1..],
        _ => &digits[..],
    };
    Crc32::new().update(written).update(key).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_numbered_in_decimal() {
        let crc = |text: &str| Crc32::new().update(text.as_bytes()).finish();
        assert_eq!(numbered(0, b"key"), crc("key"));
        assert_eq!(numbered(7, b"key"), crc("7key"));
        assert_eq!(numbered(20, b"key"), crc("20key"));
    }
}
