//! The bytes that hashing policies hash.

use std::fmt::{self, Write};
use std::net::IpAddr;

/// The bytes that hashing policies hash. Up to 30 bytes are stored without an allocation.
#[derive(Clone, Eq, PartialEq)]
pub struct HashKey(Bytes);

#[derive(Clone, Eq, PartialEq)]
enum Bytes {
    Inline([u8; 30], u8),
    Long(Vec<u8>),
}

impl HashKey {
    /// No key: hashing policies spread such connections by weighted round robin.
    pub const fn none() -> Self {
        Self(Bytes::Inline([0; 30], 0))
    }

    /// The octets of `ip`. An IPv4 client has the same key on IPv4 sockets and on dual-stack sockets.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::from_bytes(&ip.octets()),
            IpAddr::V6(ip) => Self::from_bytes(&ip.octets()),
        }
    }

    /// Any bytes, such as a name or a part of an address.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut key = Self::none();
        key.push(bytes);
        key
    }

    /// Appends bytes. Allocates once the key is longer than 30 bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Bytes::Inline(inline, len) => {
                let begin = usize::from(*len);
                let end = begin + bytes.len();
                match inline.get_mut(begin..end) {
                    Some(free) => {
                        free.copy_from_slice(bytes);
                        // At most 30.
                        *len = end as u8;
                    }
                    None => self.0 = Bytes::Long([&inline[..begin], bytes].concat()),
                }
            }
            Bytes::Long(long) => long.extend_from_slice(bytes),
        }
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Inline(bytes, len) => &bytes[..usize::from(*len)],
            Bytes::Long(bytes) => bytes,
        }
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HashKey").field(&self.as_bytes()).finish()
    }
}

impl Write for HashKey {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_bytes_whatever_their_length() {
        for len in [0, 4, 30, 31, 1000] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(HashKey::from_bytes(&bytes).as_bytes(), bytes);
        }
        assert!(HashKey::none().as_bytes().is_empty());
        let mapped = HashKey::from_ip("::ffff:10.0.0.1".parse().unwrap());
        assert_eq!(mapped.as_bytes(), [10, 0, 0, 1]);
        assert!(size_of::<HashKey>() <= 32);
    }
}
