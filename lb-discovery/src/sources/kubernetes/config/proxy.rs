//! The HTTP or SOCKS proxy to an API server.

use std::env;
use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::sources::kubernetes::config::redacted::redacted;

/// Returns the proxy for `server`: the kubeconfig's `proxy-url`, or else that of `$HTTPS_PROXY` or `$HTTP_PROXY`, from
/// which `$NO_PROXY` excludes hosts. As in client-go, the environment does not apply to servers on this machine.
///
/// kube compares `$NO_PROXY` with the address of the proxy, and would use a proxy for excluded servers.
pub(crate) fn of(proxy_url: Option<&str>, server: &Uri) -> Result<Option<Intercept>, String> {
    if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
        let proxy = Matcher::builder().all(url).build().intercept(server);
        let proxy = proxy.filter(is_supported);
        return proxy.map(Some).ok_or_else(|| {
            format!(
                "the proxy-url {:?} is no proxy: write http://, https:// or socks5://HOST:PORT",
                redacted(url)
            )
        });
    }
    Ok(of_variables(server, |name| env::var(name).ok()))
}

fn of_variables(server: &Uri, value: impl Fn(&str) -> Option<String>) -> Option<Intercept> {
    if is_local(server.host().unwrap_or_default()) {
        return None;
    }
    let value = |name: &str| value(name).filter(|value| !value.is_empty());
    let value = |name: &str| value(name).or_else(|| value(&name.to_lowercase()));
    let value = |name: &str| value(name).unwrap_or_default();
    let matcher = Matcher::builder()
        .http(value("HTTP_PROXY"))
        .https(value("HTTPS_PROXY"))
        .no(value("NO_PROXY").replace("*.", "."))
        .build();
    matcher.intercept(server).filter(is_supported)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_url_applies_to_every_server() {
        let server = Uri::from_static("https://127.0.0.1:6443");
        for (url, proxy) in [
            ("http://user:pw@10.0.0.9:3128", "http://10.0.0.9:3128/"),
            ("socks5://10.0.0.9:1080", "socks5://10.0.0.9:1080/"),
        ] {
            let found = of(Some(url), &server).unwrap().expect("a proxy");
            assert_eq!(*found.uri(), proxy);
        }
        for (wrong, shown) in [
            ("socks4://10.0.0.9", "\"socks4://10.0.0.9\""),
            ("socks4://me:SECRET@10.0.0.9", "\"socks4://10.0.0.9\""),
            ("ftp://10.0.0.9/a", "\"ftp://10.0.0.9\""),
            ("://", "\"\""),
        ] {
            let error = of(Some(wrong), &server).unwrap_err();
            assert!(
                error.contains(shown) && !error.contains("SECRET"),
                "{error}"
            );
        }
    }

    #[test]
    fn no_proxy_excludes_servers_and_not_proxies() {
        let values = [
            ("HTTPS_PROXY", "http://10.0.0.9:3128"),
            ("no_proxy", "10.0.0.9, 10.1.0.0/16,*.example.com,"),
        ];
        let value = |name: &str| {
            let found = values.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        for (server, is_proxied) in [
            ("https://10.2.0.1:6443", true),
            ("https://10.1.0.1:6443", false),
            ("https://api.example.com", false),
            ("https://api.example.org", true),
            ("http://10.2.0.1", false),
            ("https://127.0.0.1:6443", false),
            ("https://localhost:6443", false),
            ("https://[::1]:6443", false),
        ] {
            let proxy = of_variables(&server.parse().unwrap(), value);
            assert_eq!(proxy.is_some(), is_proxied, "{server}");
        }
    }
}
