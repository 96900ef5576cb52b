//! Escapes values of variables for the access log.

use crate::config::log_format::LogEscape;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends the value that `write` appends, escaped, or what stands for a missing one.
pub(super) fn append(
    escape: LogEscape,
    line: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) {
    let start = line.len();
    let found = write(line);
    match (escape, found) {
        (LogEscape::Default, None) => line.push(b'-'),
        (LogEscape::Json | LogEscape::None, None) | (LogEscape::None, Some(())) => {}
        (LogEscape::Default, Some(())) => escape_from(start, line, is_plain, hex),
        (LogEscape::Json, Some(())) => escape_from(start, line, is_plain_json, json),
    }
}

/// Escapes what `line` has from `start` on. Most values have nothing to escape, and stay where they are.
fn escape_from(
    start: usize,
    line: &mut Vec<u8>,
    is_plain: impl Fn(u8) -> bool,
    escape: impl Fn(u8, &mut Vec<u8>),
) {
    let Some(first) = line[start..].iter().position(|byte| !is_plain(*byte)) else {
        return;
    };
    for byte in line.split_off(start + first) {
        match is_plain(byte) {
            true => line.push(byte),
            false => escape(byte, line),
        }
    }
}

const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Bytes of characters beyond ASCII stand for themselves.
const fn is_plain_json(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

fn hex(byte: u8, line: &mut Vec<u8>) {
    line.extend_from_slice(b"\\x");
    line.extend_from_slice(&digits(byte));
}

fn json(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        0x08 => line.extend_from_slice(b"\\b"),
        0x0c => line.extend_from_slice(b"\\f"),
        _ => {
            line.extend_from_slice(b"\\u00");
            line.extend_from_slice(&digits(byte));
        }
    }
}

fn digits(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: LogEscape, value: Option<&[u8]>) -> String {
        let mut line = b"before\n".to_vec();
        append(escape, &mut line, |line| {
            line.extend_from_slice(value?);
            Some(())
        });
        let line = line.split_off(b"before\n".len());
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn values_are_escaped_as_in_nginx() {
        let value = Some(b"a \"b\"\\\n\x01\x7f~/".as_slice());
        let default = r"a \x22b\x22\x5C\x0A\x01\x7F~/";
        assert_eq!(escaped(LogEscape::Default, value), default);
        assert_eq!(
            escaped(LogEscape::Default, Some("é".as_bytes())),
            r"\xC3\xA9"
        );
        let json = "a \\\"b\\\"\\\\\\n\\u0001\x7f~/";
        assert_eq!(escaped(LogEscape::Json, value), json);
        assert_eq!(
            escaped(LogEscape::Json, Some("é\t\r\x08\x0c".as_bytes())),
            "é\\t\\r\\b\\f"
        );
        assert_eq!(escaped(LogEscape::None, value), "a \"b\"\\\n\x01\x7f~/");
    }

    #[test]
    fn a_missing_value_is_a_dash_or_empty() {
        assert_eq!(escaped(LogEscape::Default, None), "-");
        assert_eq!(escaped(LogEscape::Json, None), "");
        assert_eq!(escaped(LogEscape::None, None), "");
        assert_eq!(escaped(LogEscape::Default, Some(b"")), "");
    }
}
