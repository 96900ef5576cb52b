//! The proxy on the way to an API server.

use std::env;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

/// The proxy for `server`: the kubeconfig's `proxy-url`, or else that of `$HTTPS_PROXY` or `$HTTP_PROXY`, which
/// `$NO_PROXY` can except hosts from. As in client-go the environment means no server on this machine.
///
/// kube compares `$NO_PROXY` with the address of the proxy, and would use a proxy for servers that are excepted.
pub(super) fn of(proxy_url: Option<&str>, server: &Uri) -> Result<Option<Intercept>, String> {
    if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
        let proxy = Matcher::builder().all(url).build().intercept(server);
        let proxy = proxy.filter(is_supported);
        return proxy.map(Some).ok_or_else(|| {
            format!(
                "the proxy-url {url:?} is no proxy: write http://, https:// or socks5://HOST:PORT"
            )
        });
    }
    if is_local(server.host().unwrap_or_default()) {
        return Ok(None);
    }
    let matcher = Matcher::builder()
        .http(variable("HTTP_PROXY"))
        .https(variable("HTTPS_PROXY"))
        .no(variable("NO_PROXY"))
        .build();
    Ok(matcher.intercept(server).filter(is_supported))
}

fn is_supported(proxy: &Intercept) -> bool {
    let schemes = ["http", "https", "socks5", "socks5h"];
    proxy
        .uri()
        .scheme_str()
        .is_some_and(|s| schemes.contains(&s))
}

fn is_local(host: &str) -> bool {
    let ip = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || ip.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// A variable by its name in capitals, or else in small letters.
fn variable(name: &str) -> String {
    let value = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    value(name)
        .or_else(|| value(&name.to_lowercase()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_url_counts_for_every_server() {
        let server = Uri::from_static("https://127.0.0.1:6443");
        for (url, proxy) in [
            ("http://user:pw@10.0.0.9:3128", "http://10.0.0.9:3128/"),
            ("socks5://10.0.0.9:1080", "socks5://10.0.0.9:1080/"),
        ] {
            let found = of(Some(url), &server).unwrap().expect("a proxy");
            assert_eq!(*found.uri(), proxy);
        }
        for wrong in ["socks4://10.0.0.9", "ftp://10.0.0.9", "://"] {
            let error = of(Some(wrong), &server).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
