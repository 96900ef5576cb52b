//! Hashes whose values are part of the contract: replicas that run different builds must agree on them.
//!
//! XXH64 is written from its specification (Collet, "xxHash fast digest algorithm", `xxhash_spec.md`), CRC-32 is
//! that of IEEE 802.3 as nginx and zlib compute it. Neither is safe against an attacker that chooses the keys.

use std::net::{IpAddr, SocketAddr};

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;

/// A hash of `bytes` that is the same in every build and on every machine: XXH64 with seed 0. Not for keys that an attacker
/// chooses.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// The XXH64 of `bytes` under `seed`.
#[inline]
pub(crate) fn xxh64(bytes: &[u8], seed: u64) -> u64 {
    let (stripes, rest) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        seed.wrapping_add(PRIME_5)
    } else {
        long(stripes, seed)
    };
    hash = hash.wrapping_add(bytes.len() as u64);
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash
            .rotate_left(27)
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME_1);
        hash = hash
            .rotate_left(23)
            .wrapping_mul(PRIME_2)
            .wrapping_add(PRIME_3);
    }
    for &byte in rest {
        hash ^= u64::from(byte).wrapping_mul(PRIME_5);
        hash = hash.rotate_left(11).wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

/// Four lanes over stripes of 32 bytes, merged into one.
#[inline(never)]
fn long(stripes: &[[u8; 32]], seed: u64) -> u64 {
    let mut lanes = [
        seed.wrapping_add(PRIME_1).wrapping_add(PRIME_2),
        seed.wrapping_add(PRIME_2),
        seed,
        seed.wrapping_sub(PRIME_1),
    ];
    for stripe in stripes {
        let (words, _) = stripe.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let [a, b, c, d] = lanes;
    let sum = a
        .rotate_left(1)
        .wrapping_add(b.rotate_left(7))
        .wrapping_add(c.rotate_left(12))
        .wrapping_add(d.rotate_left(18));
    lanes.iter().fold(sum, |hash, &lane| {
        (hash ^ round(0, lane))
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4)
    })
}

const fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2))
        .rotate_left(31)
        .wrapping_mul(PRIME_1)
}

/// A bijection that spreads every bit over all others: the finisher of SplitMix64.
pub(crate) const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The number of the part that `hash` is in, of `len` equal parts of all hashes.
pub(crate) fn scale(hash: u64, len: usize) -> usize {
    ((u128::from(hash) * len as u128) >> 64) as usize
}

/// One number for a sequence of numbers.
pub(crate) fn fold(numbers: impl IntoIterator<Item = u64>) -> u64 {
    let next = |digest, number: u64| xxh64(&number.to_le_bytes(), digest);
    numbers.into_iter().fold(0, next)
}

/// The hash of a backend's name and port.
pub(crate) fn of_name(name: &str, port: u16) -> u64 {
    xxh64(format!("{name}:{port}").as_bytes(), 0)
}

/// The hash of an address: of its octets, under the port as seed. To write ten thousand addresses as text would take
/// milliseconds.
pub(crate) fn of_addr(addr: SocketAddr) -> u64 {
    let port = addr.port().into();
    match addr.ip() {
        IpAddr::V4(ip) => xxh64(&ip.octets(), port),
        IpAddr::V6(ip) => xxh64(&ip.octets(), port),
    }
}

/// A CRC-32 that is being computed. A copy continues from the same prefix.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc32(u32);

impl Crc32 {
    pub(crate) const fn new() -> Self {
        Self(u32::MAX)
    }

    /// Appends `bytes`, four at a time.
    #[must_use]
    pub(crate) fn update(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<4>();
        for word in words {
            let [a, b, c, d] = (self.0 ^ u32::from_le_bytes(*word)).to_le_bytes();
            self.0 = CRC_TABLES[3][a as usize]
                ^ CRC_TABLES[2][b as usize]
                ^ CRC_TABLES[1][c as usize]
                ^ CRC_TABLES[0][d as usize];
        }
        for &byte in rest {
            let low = (self.0 ^ u32::from(byte)) & 0xff;
            self.0 = CRC_TABLES[0][low as usize] ^ (self.0 >> 8);
        }
        self
    }

    pub(crate) const fn finish(self) -> u32 {
        !self.0
    }
}

/// `[k][b]`: the effect of byte b, followed by k zero bytes, on the remainder.
static CRC_TABLES: [[u32; 256]; 4] = crc_tables();

const fn crc_tables() -> [[u32; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut k = 1;
    while k < 4 {
        let mut byte = 0;
        while byte < 256 {
            let before: u32 = tables[k - 1][byte];
            tables[k][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        k += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xxh64_matches_the_published_vectors() {
        // The sanity buffer and values of xxHash's `xsum_sanity_check.c`.
        let mut byte_gen = 2_654_435_761_u64;
        let buffer: Vec<u8> = (0..222)
            .map(|_| {
                let byte = (byte_gen >> 56) as u8;
                byte_gen = byte_gen.wrapping_mul(11_400_714_785_074_694_797);
                byte
            })
            .collect();
        let seed = 2_654_435_761;
        for (len, seed, expected) in [
            (0, 0, 0xef46_db37_51d8_e999),
            (0, seed, 0xac75_fda2_929b_17ef),
            (1, 0, 0xe934_a84a_db05_2768),
            (1, seed, 0x5014_6076_43a9_b4c3),
            (4, 0, 0x9136_a0dc_a574_57ee),
            (14, 0, 0x8282_dcc4_994e_35c8),
            (14, seed, 0xc3bd_6bf6_3deb_6df0),
            (222, 0, 0xb641_ae8c_b691_c174),
            (222, seed, 0x20cb_8ab7_ae10_c14a),
        ] {
            let hash = xxh64(&buffer[..len], seed);
            assert_eq!(hash, expected, "{len} bytes, seed {seed}: {hash:#x}");
        }
    }

    #[test]
    fn crc32_matches_the_published_check_value() {
        let crc = |bytes: &[u8]| Crc32::new().update(bytes).finish();
        assert_eq!(crc(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc(b""), 0);
        assert_eq!(
            crc(b"The quick brown fox jumps over the lazy dog"),
            0x414f_a339
        );
        let parts = Crc32::new().update(b"12345").update(b"6789").finish();
        assert_eq!(parts, 0xcbf4_3926);
    }

    #[test]
    fn scale_cuts_equal_parts() {
        assert_eq!(scale(0, 7), 0);
        assert_eq!(scale(u64::MAX, 7), 6);
        assert_eq!(scale(u64::MAX / 2 + 1, 2), 1);
    }
}
