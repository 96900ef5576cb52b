//! URLs in messages.

/// Reduces `url` to scheme, host and port, even if it is invalid. Omits the user info, which may contain a password, the
/// path and the query.
pub(crate) fn redacted(url: &str) -> String {
    // The last `@`: an unencoded password may contain any character.
    let has_user = url.contains('@');
    let host = url.rsplit('@').next().unwrap_or_default();
    let (scheme, host) = match host.split_once("://") {
        Some(parts) => parts,
        None if has_user => (url.split_once("://").map_or("", |(scheme, _)| scheme), host),
        None => ("", host),
    };
    let end = host.find(['/', '?', '#']).unwrap_or(host.len());
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    match scheme {
        scheme if !scheme.is_empty() && scheme.chars().all(is_scheme) => {
            format!("{scheme}://{}", &host[..end])
        }
        _ => host[..end].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        for (url, shown) in [
            ("https://10.0.0.1:6443/k8s/c-1", "https://10.0.0.1:6443"),
            ("socks4://me:SECRET@10.0.0.9:1080", "socks4://10.0.0.9:1080"),
            ("http://me:SE/CR@ET@10.0.0.9", "http://10.0.0.9"),
            ("http://me:SE://CRET@10.0.0.9", "http://10.0.0.9"),
            ("me:SECRET@10.0.0.9:1080", "10.0.0.9:1080"),
            ("me:SECRET://x@10.0.0.9", "10.0.0.9"),
            ("http://10.0.0.9?token=SECRET", "http://10.0.0.9"),
            ("10.0.0.1:6443", "10.0.0.1:6443"),
            ("https://[::1]:6443", "https://[::1]:6443"),
            ("://", ""),
            ("", ""),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }
}
