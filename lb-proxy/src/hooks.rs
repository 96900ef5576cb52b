//! What an embedder may add to the life of a connection.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Asked on the way of every connection of the listeners that have it; see [`Listener::hooks`](crate::Listener::hooks).
///
/// The methods run on the connection's task and hold up the other sessions of its worker, so they must not block.
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// What hashing policies go by. Default: the octets of the client's address.
    fn hash_key(&self, connection: &Connection) -> HashKey {
        HashKey::from_ip(connection.client.ip())
    }
}

/// A connection from a client.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Connection {
    /// The client.
    pub client: SocketAddr,
    /// The address that the client connected to, never a wildcard.
    pub local: SocketAddr,
}

/// The bytes that hashing policies go by. Up to 30 of them are kept without an allocation.
#[derive(Clone, Eq, PartialEq)]
pub struct HashKey(Bytes);

#[derive(Clone, Eq, PartialEq)]
enum Bytes {
    Inline([u8; 30], u8),
    Long(Box<[u8]>),
}

impl HashKey {
    /// The octets of `ip`. A client that came over IPv4 has one key on every kind of socket.
    pub fn from_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::from_bytes(&ip.octets()),
            IpAddr::V6(ip) => Self::from_bytes(&ip.octets()),
        }
    }

    /// Any bytes, such as a name or a part of an address. Without any, hashing policies spread the connections like
    /// round robin.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut inline = [0; 30];
        match inline.get_mut(..bytes.len()) {
            Some(start) => {
                start.copy_from_slice(bytes);
                // At most 30.
                Self(Bytes::Inline(inline, bytes.len() as u8))
            }
            None => Self(Bytes::Long(bytes.into())),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_bytes_whatever_their_length() {
        for len in [0, 1, 29, 30, 31, 500] {
            let bytes: Vec<u8> = (0..len).map(|i| i as u8).collect();
            assert_eq!(HashKey::from_bytes(&bytes).as_bytes(), bytes);
        }
    }

    #[test]
    fn a_client_of_ipv4_has_one_key_on_every_socket() {
        let [plain, mapped] = ["10.0.0.1", "::ffff:10.0.0.1"].map(|ip| ip.parse().unwrap());
        assert_eq!(HashKey::from_ip(plain), HashKey::from_ip(mapped));
        assert_eq!(HashKey::from_ip(plain).as_bytes(), [10, 0, 0, 1]);
    }
}
