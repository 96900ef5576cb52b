//! The admission of requests.

use std::net::{IpAddr, Ipv6Addr};

use super::peer::AdminPeer;
use super::settings::AdmissionRules;

/// The headers of a request that decide whether it is admitted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AccessHeaders<'a> {
    pub(super) host: Option<&'a str>,
    pub(super) origin: Option<&'a str>,
    pub(super) fetch_site: Option<&'a str>,
    pub(super) fetch_mode: Option<&'a str>,
    pub(super) fetch_dest: Option<&'a str>,
    pub(super) authorization: Option<&'a [u8]>,
    /// Whether there is an `X-Lb-Admin`.
    pub(super) is_marked: bool,
}

/// Why a request is not admitted. The texts are sent to the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum AccessError {
    #[error("clients at this address are not admitted")]
    Address,
    #[error(
        "this host name is not one of this server: use an IP address or localhost, or have the name allowed"
    )]
    Host,
    #[error("requests of pages of other origins are refused")]
    Origin,
    #[error("the group of the socket has changed: connect again")]
    Group,
    #[error("no token is set: requests over TCP change nothing")]
    NoToken,
    #[error("send the token: \"Authorization: Bearer TOKEN\"")]
    Token,
    #[error(
        "this user may not change state: send the token, or be the user of the server, root, or in its group"
    )]
    User,
    #[error("wrong token")]
    WrongToken,
    #[error("send a header X-Lb-Admin with requests that change state")]
    Mark,
}

impl AccessError {
    /// The reason in the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Host => "host name",
            Self::Origin => "origin",
            Self::Group => "group",
            Self::NoToken => "no token is set",
            Self::Token => "token",
            Self::User => "user",
            Self::WrongToken => "wrong token",
            Self::Mark => "no X-Lb-Admin",
        }
    }
}

impl AdmissionRules {
    /// Whether the client may connect.
    pub(super) fn admits(&self, peer: AdminPeer) -> bool {
        match peer {
            AdminPeer::Unix { group, .. } => group.is_none() || group == self.group,
            AdminPeer::Tcp(addr) => {
                let ip = addr.ip().to_canonical();
                ip.is_loopback() || self.allow.iter().any(|network| network.contains(ip))
            }
        }
    }

    /// Checks a request that reads. A page of another site cannot read the answer, but by images or forms it could make a
    /// browser send many requests that cost time. It may link here.
    pub(super) fn check_read(
        &self,
        peer: AdminPeer,
        headers: AccessHeaders<'_>,
    ) -> Result<(), AccessError> {
        self.check_peer(peer, headers)?;
        match headers.is_top_level_navigation() {
            true => Ok(()),
            false => check_origin(headers),
        }
    }

    /// Checks where a request comes from. The address and the group are checked again, because a reload may have replaced
    /// the rules that the connection was admitted by.
    fn check_peer(&self, peer: AdminPeer, headers: AccessHeaders<'_>) -> Result<(), AccessError> {
        match (peer, headers.host) {
            (AdminPeer::Unix { .. }, _) if !self.admits(peer) => Err(AccessError::Group),
            _ if !self.admits(peer) => Err(AccessError::Address),
            (AdminPeer::Unix { .. }, _) => Ok(()),
            (AdminPeer::Tcp(_), Some(host)) if self.is_own(host) => Ok(()),
            (AdminPeer::Tcp(_), _) => Err(AccessError::Host),
        }
    }

    /// Checks a request that changes state. `owner` is the user of this process.
    pub(super) fn check_write(
        &self,
        peer: AdminPeer,
        headers: AccessHeaders<'_>,
        owner: u32,
    ) -> Result<(), AccessError> {
        self.check_peer(peer, headers)?;
        check_origin(headers)?;
        if let (Some(token), Some(given)) = (&self.token, headers.authorization) {
            return match bearer(given) {
                Some(given) if token.is(given) => Ok(()),
                Some(_) => Err(AccessError::WrongToken),
                None => Err(AccessError::Token),
            };
        }
        match peer {
            AdminPeer::Tcp(_) if self.token.is_none() => Err(AccessError::NoToken),
            AdminPeer::Tcp(_) => Err(AccessError::Token),
            // Only members of the group can connect to a socket with a group: supplementary groups count, which the
            // credentials of the peer do not show.
            AdminPeer::Unix { uid, group, .. }
                if uid != owner && uid != 0 && (group.is_none() || group != self.group) =>
            {
                Err(AccessError::User)
            }
            AdminPeer::Unix { .. } if !headers.is_marked => Err(AccessError::Mark),
            AdminPeer::Unix { .. } => Ok(()),
        }
    }

    /// Whether the value of a `Host` header means this server. A web page that another name of this address served, by DNS
    /// rebinding, sends that name.
    fn is_own(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else {
            return false;
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

impl AccessHeaders<'_> {
    /// Whether a browser shows the answer as the document of a tab, for example because a link was followed.
    fn is_top_level_navigation(&self) -> bool {
        self.origin.is_none()
            && self.fetch_mode == Some("navigate")
            && self.fetch_dest == Some("document")
    }
}

/// The host without its port. `None` if the text is no host.
fn host_name(host: &str) -> Option<&str> {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(rest) = host.strip_prefix('[') {
        let (ip, rest) = rest.split_once(']')?;
        let port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
        return (port && ip.parse::<Ipv6Addr>().is_ok()).then_some(ip);
    }
    match host.split_once(':') {
        Some((name, port)) => is_port(port).then_some(name),
        None => Some(host),
    }
}

/// A browser names the origin of the page, in one of two headers.
fn check_origin(headers: AccessHeaders<'_>) -> Result<(), AccessError> {
    let site = headers.fetch_site;
    if site.is_some_and(|site| site != "same-origin" && site != "none") {
        return Err(AccessError::Origin);
    }
    let Some(origin) = headers.origin else {
        return Ok(());
    };
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match authority.is_some() && authority == headers.host {
        true => Ok(()),
        false => Err(AccessError::Origin),
    }
}

fn bearer(authorization: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
