//! The key of `hash`, byte for byte as in nginx.

use std::sync::Arc;

use lb_proxy::balancing::{HashKey, KeyFunction, KeyPart};
use lb_proxy::events::Connection;

use crate::variables::context::Context;
use crate::variables::table::Variables;
use crate::variables::value::{Part, Value};

/// What lb-proxy hashes of a connection.
pub(super) fn parts(key: &Value, variables: &Arc<Variables>) -> Vec<KeyPart> {
    if let Some(text) = key.literal() {
        return match text {
            "" => Vec::new(),
            text => vec![KeyPart::text(text)],
        };
    }
    let parts = key.parts().iter().map(|part| part_of(part, variables));
    let parts: Option<Vec<_>> = parts.collect();
    parts.unwrap_or_else(|| vec![KeyPart::Custom(function(key, variables))])
}

/// A part that lb-proxy computes by itself.
fn part_of(part: &Part, variables: &Variables) -> Option<KeyPart> {
    match part {
        Part::Capture(_) => None,
        Part::Text(text) => Some(KeyPart::text(text.clone())),
        Part::Variable(id) => Some(match variables.name(*id) {
            "binary_remote_addr" => KeyPart::ClientIpOctets,
            "remote_addr" => KeyPart::ClientIpText,
            "remote_port" => KeyPart::ClientPort,
            "server_addr" => KeyPart::LocalIpText,
            "server_port" => KeyPart::LocalPort,
            "ssl_preread_server_name" => KeyPart::ServerName,
            _ => return None,
        }),
    }
}

/// The text identifies the function: a reload replaces the definitions of its variables.
fn function(key: &Value, variables: &Arc<Variables>) -> KeyFunction {
    let (value, table) = (key.clone(), Arc::clone(variables));
    let append = move |connection: &Connection, key: &mut HashKey| {
        value.append(&Context::new(&table, connection), key);
    };
    KeyFunction::appending(key.text(), append).reads_first_bytes(key.reads_first_bytes(variables))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::main::Config;
    use crate::config::upstream::method::Method;

    fn key(text: &str) -> Vec<KeyPart> {
        let text = format!("stream {{ upstream u {{ hash \"{text}\"; server 10.0.0.1:1; }} }}");
        let config = Config::parse(Path::new("conf"), text.as_bytes(), Path::new("")).unwrap();
        let stream = config.stream.unwrap();
        let Method::Hash { key, .. } = &stream.upstreams[0].method else {
            panic!("hash");
        };
        parts(key, &stream.variables)
    }

    #[test]
    fn lb_proxy_computes_keys_of_addresses_by_itself() {
        use KeyPart::{
            ClientIpOctets, ClientIpText, ClientPort, LocalIpText, LocalPort, ServerName,
        };
        let text = |text: &str| KeyPart::text(text);
        for (template, expected) in [
            ("$remote_addr", vec![ClientIpText]),
            (
                "${REMOTE_addr}x$remote_port",
                vec![ClientIpText, text("x"), ClientPort],
            ),
            (
                "a$server_addr-$server_port/",
                vec![text("a"), LocalIpText, text("-"), LocalPort, text("/")],
            ),
            (
                "$binary_remote_addr$ssl_preread_server_name",
                vec![ClientIpOctets, ServerName],
            ),
            ("constant", vec![text("constant")]),
            ("", vec![]),
        ] {
            assert_eq!(key(template), expected, "{template}");
        }
    }

    #[test]
    fn every_other_key_is_evaluated_and_known_by_its_text() {
        let (client, server) = ("10.0.0.7:5000", "10.0.0.1:446");
        let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
        let parts = key("$protocol-$remote_port");
        let hashed = HashKey::from_parts(&parts, client, server);
        assert_eq!(hashed.as_bytes(), b"TCP-5000");
        assert_eq!(parts, key("$protocol-$remote_port"));
        assert_ne!(parts, key("$protocol$remote_port"));
    }
}
