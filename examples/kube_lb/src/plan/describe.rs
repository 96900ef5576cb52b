//! The plan as text.

use std::fmt;

use super::Plan;
use super::listener::{ListenerPlan, Routing};
use super::target::{Destination, Targets};
use super::upstream::{CheckKind, DrainPlan, ProxyHeader, UpstreamPlan};

/// Every listener with its owner and its targets, then every upstream with its settings. One line each.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (addr, listener) in &self.listeners {
            writeln!(f, "listen {addr} {listener}")?;
        }
        for (name, upstream) in &self.upstreams {
            writeln!(f, "upstream {name} {upstream}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ListenerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            owner,
            part,
            routes,
            routing,
            sessions,
        } = self;
        write!(f, "for {owner}, {part}")?;
        for route in routes {
            write!(f, ", {route}")?;
        }
        write!(f, ": {routing}")?;
        if let Some(sources) = &sessions.sources {
            let sources: Vec<_> = sources.iter().map(ToString::to_string).collect();
            write!(f, ", only from {}", sources.join(" "))?;
        }
        if let Some(sessions) = sessions.client_sessions {
            write!(f, ", {sessions} sessions a client")?;
        }
        if let Some(rate) = sessions.client_rate {
            write!(f, ", {rate} connections a second and client")?;
        }
        Ok(())
    }
}

impl fmt::Display for Routing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(targets) => write!(f, "{targets}"),
            Self::Tls { names, other } => {
                for named in names {
                    write!(f, "{} -> {}; ", named.hosts.join(" "), named.targets)?;
                }
                match other {
                    Some(targets) => write!(f, "other names -> {targets}"),
                    None => f.write_str("other names are refused"),
                }
            }
        }
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().all(|target| target.weight == 0) {
            return f.write_str("refused: no target has a weight");
        }
        for (i, target) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if self.0.len() > 1 {
                write!(f, "{} x ", target.weight)?;
            }
            match &target.destination {
                Destination::Upstream(name) => write!(f, "{name}")?,
                Destination::Refuse(reason) => write!(f, "refused ({reason})")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for UpstreamPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            backends,
            policy,
            proxy_header,
            check,
            drain,
        } = self;
        write!(f, "the {backends}, policy {}", policy.kind)?;
        match proxy_header {
            None => {}
            Some(ProxyHeader::V1) => f.write_str(", PROXY protocol version 1")?,
            Some(ProxyHeader::V2) => f.write_str(", PROXY protocol version 2")?,
        }
        if let Some(check) = check {
            match &check.kind {
                CheckKind::Tcp => f.write_str(", checked by connecting")?,
                CheckKind::Http(path) => write!(f, ", checked by GET {path}")?,
            }
            write!(f, " every {:?}", check.interval)?;
        }
        match drain {
            DrainPlan::Keep => Ok(()),
            DrainPlan::Within(time) => {
                write!(f, ", sessions of removed backends end within {time:?}")
            }
        }
    }
}
