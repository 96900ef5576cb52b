//! Settings of an admin server: its address, and the requests that it admits.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lb_core::Endpoint;

use super::token::AdminToken;
use crate::access::Network;
use crate::into_shared::IntoShared;
use crate::settings::UnixSocketOpener;

/// Where an admin server listens, and which requests it admits; see the [module](super).
#[derive(Clone, Debug)]
#[must_use]
pub struct AdminSettings {
    pub(super) endpoint: Endpoint,
    pub(super) rules: AdmissionRules,
    /// The permissions of a unix socket's file.
    pub(super) mode: u32,
    pub(super) opener: Option<Arc<dyn UnixSocketOpener>>,
}

/// Which requests an admin server admits.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct AdmissionRules {
    pub(super) token: Option<AdminToken>,
    pub(super) allow: Vec<Network>,
    pub(super) hosts: Vec<String>,
    /// The group of the unix socket, whose members may change state.
    pub(super) group: Option<u32>,
}

impl AdminSettings {
    /// Listens on a TCP address.
    pub fn tcp(addr: SocketAddr) -> Self {
        Self::new(Endpoint::Tcp(addr))
    }

    /// Listens on a unix socket at `path`, which only the user of the process and root may connect to.
    pub fn unix(path: impl Into<Arc<Path>>) -> Self {
        Self::new(Endpoint::Unix(path.into()))
    }

    fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            rules: AdmissionRules::default(),
            mode: 0o600,
            opener: None,
        }
    }

    /// Sets the token that lets requests change state. Default: none, so that requests over TCP change nothing.
    pub fn token(mut self, token: Option<AdminToken>) -> Self {
        self.rules.token = token;
        self
    }

    /// Also admits TCP clients in `network`. Default: clients on loopback only.
    pub fn allow(mut self, network: Network) -> Self {
        self.rules.allow.push(network);
        self
    }

    /// Also admits requests over TCP that name the host `name`. Default: `localhost` and IP addresses.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.rules.hosts.push(name.into());
        self
    }

    /// Sets the group of the unix socket's file, by its number: its members may connect and change state. The permissions
    /// become 0660. Default: that of the process, without these rights.
    pub fn group(mut self, gid: u32) -> Self {
        self.rules.group = Some(gid);
        self.mode = 0o660;
        self
    }

    /// Sets what opens the unix socket and removes its file. Default: the process itself.
    pub fn opener(mut self, opener: impl IntoShared<dyn UnixSocketOpener>) -> Self {
        self.opener = Some(opener.into_shared());
        self
    }

    /// What it listens on.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}
