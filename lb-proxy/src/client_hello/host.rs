//! The host within a server name.

/// The length of the longest host name.
const MAX_NAME: usize = 255;

/// The host that a server name names, without a port: `None` if it is none. As nginx's `ngx_stream_validate_host`, and
/// nothing in it would garble a log.
pub(crate) fn host(name: &[u8]) -> Option<&str> {
    let allowed = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    let is_valid = name.len() <= MAX_NAME
        && name.iter().all(allowed)
        && !name.starts_with(b".")
        && !name.windows(2).any(|pair| pair == b"..");
    if !is_valid {
        return None;
    }
    let ends_literal = |byte: &u8| *byte == b']';
    let end = match name.starts_with(b"[") {
        true => name.iter().position(ends_literal).map(|end| end + 1),
        false => name.iter().position(|byte| *byte == b':'),
    };
    let host = &name[..end.unwrap_or(name.len())];
    let host = str::from_utf8(host).ok()?;
    Some(host).filter(|host| !host.is_empty())
}
