//! The parts of a connection that the hashing policies of an upstream hash.

use std::fmt::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use lb_core::Endpoint;

use super::hash_key::HashKey;
use super::key_function::KeyFunction;
use crate::connection::Connection;
use crate::embedder_code::named;

/// A part of the hash key of an upstream's connections; see
/// [`UpstreamBuilder::hash_key`](crate::UpstreamBuilder::hash_key).
///
/// As in nginx, the address of a client on a unix socket is `unix:`, and its port is empty.
///
/// ```
/// use lb_proxy::balancing::KeyPart;
///
/// // nginx's `$remote_addr:$server_port`.
/// let key = [KeyPart::ClientIpText, KeyPart::text(":"), KeyPart::LocalPort];
/// # let _ = key;
/// ```
#[doc(alias = "hash_policy", alias = "stick-table", alias = "source")]
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum KeyPart {
    /// The octets of the client's address, 4 or 16. An IPv4 client of a dual-stack socket has 4.
    ClientIp,
    /// The octets of the client's address as the socket shows it, 4 or 16. An IPv4 client of a dual-stack socket has 16.
    #[doc(alias = "$binary_remote_addr")]
    ClientIpOctets,
    /// The client's address as text.
    #[doc(alias = "$remote_addr")]
    ClientIpText,
    /// The client's port in decimal.
    #[doc(alias = "$remote_port")]
    ClientPort,
    /// What a function of the embedder returns; see [`custom`](Self::custom).
    #[cfg_attr(feature = "serde", serde(skip))]
    Custom(KeyFunction),
    /// The address that the client connected to, as text.
    #[doc(alias = "$server_addr")]
    LocalIpText,
    /// The port that the client connected to, in decimal.
    #[doc(alias = "$server_port")]
    LocalPort,
    /// The name that the client's TLS asks for (SNI) as the client sent it, nothing without one. Takes a
    /// [`ClientHelloReader`](crate::client_hello::ClientHelloReader) on the listener.
    #[doc(alias = "$ssl_preread_server_name")]
    ServerName,
    /// The same bytes for every connection.
    Text(Box<str>),
}

impl KeyPart {
    /// The same text for every connection.
    pub fn text(text: impl Into<Box<str>>) -> Self {
        Self::Text(text.into())
    }

    /// What `key` returns for a connection; see [`KeyFunction::new`].
    pub fn custom(
        identity: impl Into<Arc<str>>,
        key: impl Fn(&Connection) -> HashKey + Send + Sync + 'static,
    ) -> Self {
        Self::Custom(KeyFunction::new(identity, key))
    }

    /// Whether the client's address is not enough to compute it.
    const fn needs_connection(&self) -> bool {
        !matches!(
            self,
            Self::ClientIp
                | Self::ClientIpOctets
                | Self::ClientIpText
                | Self::ClientPort
                | Self::Text(_)
        )
    }

    fn append(&self, client: SocketAddr, connection: Option<&Connection>, key: &mut HashKey) {
        let is_unix = Endpoint::is_unix_key(client);
        let shown: &dyn fmt::Display = match self {
            Self::ClientIp | Self::ClientIpOctets | Self::ClientIpText if is_unix => &"unix:",
            Self::ClientPort if is_unix => &"",
            Self::ClientIp => return key.push(HashKey::from_ip(client.ip()).as_bytes()),
            Self::ClientIpOctets => {
                return match client.ip() {
                    IpAddr::V4(ip) => key.push(&ip.octets()),
                    IpAddr::V6(ip) => key.push(&ip.octets()),
                };
            }
            Self::Text(text) => return key.push(text.as_bytes()),
            Self::ClientIpText => &client.ip(),
            Self::ClientPort => &client.port(),
            Self::Custom(_) | Self::LocalIpText | Self::LocalPort | Self::ServerName => {
                if let Some(connection) = connection {
                    self.append_known(connection, key);
                }
                return;
            }
        };
        // A key takes everything.
        let _ = write!(key, "{shown}");
    }

    fn append_known(&self, connection: &Connection, key: &mut HashKey) {
        let is_unix = Endpoint::is_unix_key(connection.local);
        let shown: &dyn fmt::Display = match self {
            Self::LocalIpText if is_unix => &connection.local_endpoint(),
            Self::LocalPort if is_unix => &"",
            Self::Custom(function) => {
                return named("KeyFunction", || (function.append)(connection, key));
            }
            Self::LocalIpText => &connection.local.ip(),
            Self::LocalPort => &connection.local.port(),
            _ => return key.push(connection.server_name_bytes().unwrap_or_default()),
        };
        // A key takes everything.
        let _ = write!(key, "{shown}");
    }
}

/// The key of an upstream: its parts one after the other. `None` is [`KeyPart::ClientIp`], the default.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeyParts(Option<Arc<[KeyPart]>>);

impl KeyParts {
    pub(crate) fn new(parts: impl IntoIterator<Item = KeyPart>) -> Self {
        let parts: Arc<[KeyPart]> = parts.into_iter().collect();
        Self((*parts != [KeyPart::ClientIp]).then_some(parts))
    }

    /// Whether both are the same parts, with one function where equality is about the identities of functions.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let mut pairs = self.parts().iter().zip(other.parts());
        self == other
            && pairs.all(|pair| match pair {
                (KeyPart::Custom(one), KeyPart::Custom(other)) => one.is_same_as(other),
                _ => true,
            })
    }

    /// Whether [`key`](Self::key) needs more than the client's address.
    pub(crate) fn needs_connection(&self) -> bool {
        self.parts().iter().any(KeyPart::needs_connection)
    }

    /// Whether it may hash what the first bytes contained.
    pub(crate) fn needs_preread(&self) -> bool {
        let mut parts = self.parts().iter();
        parts.any(|part| match part {
            KeyPart::Custom(function) => function.reads_first_bytes,
            part => matches!(part, KeyPart::ServerName),
        })
    }

    /// The key of a connection of `client`. Without a `connection` only the parts of the client's address and texts.
    pub(crate) fn key(&self, client: SocketAddr, connection: Option<&Connection>) -> HashKey {
        HashKey::of(self.parts(), client, connection)
    }

    fn parts(&self) -> &[KeyPart] {
        self.0.as_deref().unwrap_or(&[KeyPart::ClientIp])
    }
}

impl HashKey {
    /// The key of a connection that `client` made to `local`, without a server name: for
    /// [`Upstream::explain`](crate::Upstream::explain).
    pub fn from_parts(parts: &[KeyPart], client: SocketAddr, local: SocketAddr) -> Self {
        Self::of(parts, client, Some(&Connection::new(client, local)))
    }

    fn of(parts: &[KeyPart], client: SocketAddr, connection: Option<&Connection>) -> Self {
        let mut key = Self::none();
        for part in parts {
            part.append(client, connection, &mut key);
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(parts: &[KeyPart], client: &str) -> Vec<u8> {
        let (client, local) = (client.parse().unwrap(), "192.0.2.9:446".parse().unwrap());
        let key = HashKey::from_parts(parts, client, local);
        let parts = KeyParts::new(parts.iter().cloned());
        if !parts.needs_connection() {
            assert_eq!(parts.key(client, None), key);
        }
        key.as_bytes().to_vec()
    }

    fn text(parts: &[KeyPart], client: &str) -> String {
        String::from_utf8(key(parts, client)).unwrap()
    }

    #[test]
    fn parts_are_those_of_the_connection() {
        use KeyPart::{ClientIpText, ClientPort, LocalIpText, LocalPort, ServerName};
        let client = "10.1.2.3:50000";
        for (parts, expected) in [
            (&[ClientIpText][..], "10.1.2.3"),
            (&[ClientPort], "50000"),
            (&[LocalIpText], "192.0.2.9"),
            (&[LocalPort], "446"),
            (&[ServerName], ""),
            (
                &[
                    KeyPart::text("a"),
                    ClientIpText,
                    KeyPart::text("-"),
                    LocalPort,
                    KeyPart::text("/"),
                ],
                "a10.1.2.3-446/",
            ),
            (&[ClientIpText, ClientPort], "10.1.2.350000"),
            (&[KeyPart::text("constant")], "constant"),
            (&[], ""),
        ] {
            assert_eq!(text(parts, client), expected, "{parts:?}");
        }
        let binary = key(&[KeyPart::ClientIpOctets, LocalPort], client);
        assert_eq!(binary, [10, 1, 2, 3, b'4', b'4', b'6']);
        let port =
            |connection: &Connection| HashKey::from_bytes(&connection.client.port().to_be_bytes());
        assert_eq!(
            key(&[KeyPart::custom("port", port)], client),
            50000_u16.to_be_bytes()
        );
        assert_eq!(key(&[KeyPart::ClientIp], client), [10, 1, 2, 3]);
        assert_eq!(KeyParts::new([KeyPart::ClientIp]), KeyParts::default());
    }

    #[test]
    fn ipv6_is_written_as_in_nginx() {
        for (client, expected) in [
            ("[2001:DB8:0:0:1:0:0:1]:1", "2001:db8::1:0:0:1"),
            ("[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1"),
            ("[::1]:1", "::1"),
        ] {
            assert_eq!(text(&[KeyPart::ClientIpText], client), expected);
        }
        assert_eq!(key(&[KeyPart::ClientIpOctets], "[::1]:1").len(), 16);
        assert_eq!(
            key(&[KeyPart::ClientIpOctets], "[::ffff:10.0.0.1]:1").len(),
            16
        );
        assert_eq!(
            key(&[KeyPart::ClientIp], "[::ffff:10.0.0.1]:1"),
            [10, 0, 0, 1]
        );
    }

    #[test]
    fn functions_are_equal_if_their_identities_are() {
        let of = |identity| KeyPart::custom(identity, |_| HashKey::none());
        assert_eq!(of("one"), of("one"));
        assert_ne!(of("one"), of("other"));
        let KeyPart::Custom(function) = of("one") else {
            unreachable!()
        };
        let blind = [KeyPart::Custom(function.reads_first_bytes(false))];
        assert!(!KeyParts::new(blind).needs_preread());
        assert!(KeyParts::new([of("one")]).needs_preread());
    }
}
