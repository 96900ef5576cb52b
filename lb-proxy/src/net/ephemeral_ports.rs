//! The ephemeral ports: the range that the kernel chooses source ports from.

use std::ops::RangeInclusive;
use std::sync::OnceLock;

/// The file with the range of the process's network namespace on Linux.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// Whether the kernel may choose `port` as a source port.
///
/// The range is read once, at the first call. If it cannot be read, every port above 1023 counts.
pub(super) fn contains(port: u16) -> bool {
    static PORTS: OnceLock<RangeInclusive<u16>> = OnceLock::new();
    let ports = PORTS.get_or_init(|| {
        let text = std::fs::read_to_string(RANGE).ok();
        text.as_deref().and_then(parse).unwrap_or(1024..=u16::MAX)
    });
    ports.contains(&port)
}

fn parse(text: &str) -> Option<RangeInclusive<u16>> {
    let mut ports = text.split_whitespace().map(str::parse);
    let (first, last) = (ports.next()?.ok()?, ports.next()?.ok()?);
    (first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ascending_ports_are_a_range_and_anything_else_is_none() {
        assert_eq!(parse("32768\t60999\n"), Some(32768..=60999));
        for text in ["", "32768", "60999 32768", "a b", "1 65536"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_port_that_the_kernel_chose_is_ephemeral() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(contains(listener.local_addr().unwrap().port()));
        assert!(!contains(1));
    }
}
