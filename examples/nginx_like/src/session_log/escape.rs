//! How values of variables are written to the access log.

use crate::config::log_format::LogEscape;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends a value, or what stands for a missing one.
pub(super) fn append(escape: LogEscape, value: Option<&[u8]>, line: &mut Vec<u8>) {
    match (escape, value) {
        (LogEscape::Default, None) => line.push(b'-'),
        (LogEscape::Json | LogEscape::None, None) => {}
        (LogEscape::Default, Some(value)) => value.iter().for_each(|byte| hex(*byte, line)),
        (LogEscape::Json, Some(value)) => value.iter().for_each(|byte| json(*byte, line)),
        (LogEscape::None, Some(value)) => line.extend_from_slice(value),
    }
}

fn hex(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b' '..=b'~' if byte != b'"' && byte != b'\\' => line.push(byte),
        _ => {
            line.extend_from_slice(b"\\x");
            line.extend_from_slice(&digits(byte));
        }
    }
}

fn json(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        0x08 => line.extend_from_slice(b"\\b"),
        0x0c => line.extend_from_slice(b"\\f"),
        0..0x20 => {
            line.extend_from_slice(b"\\u00");
            line.extend_from_slice(&digits(byte));
        }
        _ => line.push(byte),
    }
}

fn digits(byte: u8) -> [u8; 2] {
    [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(escape: LogEscape, value: Option<&[u8]>) -> String {
        let mut line = Vec::new();
        append(escape, value, &mut line);
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
