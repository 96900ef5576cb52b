//! Addresses and ports of a listener, and reasons that keep it from listening.

use std::net::SocketAddr;

use super::listener::GatewayListener;
use crate::addresses::Grant;
use crate::services::Feedback;

/// The beginning of the message of a condition that names addresses and ports. The status is the memory of what an object
/// holds, and no other field of a listener's status has room for it.
const ASSIGNED: &str = "assigned ";

/// The addresses and ports of a listener.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Programming {
    pub(crate) assigned: Vec<SocketAddr>,
    /// Why it does not listen on some of the addresses.
    pub(crate) problems: Vec<String>,
}

impl Programming {
    /// Those of an accepted listener of a Gateway that has `grant`.
    pub(crate) fn of(listener: &GatewayListener<'_>, grant: &Grant, feedback: &Feedback) -> Self {
        let mut programming = Self::default();
        let Some(port) = listener.port else {
            return programming;
        };
        for &ip in &grant.addresses {
            let addr = SocketAddr::new(ip, port);
            if let Some(owner) = grant.lost.get(&(ip, port)) {
                programming.problems.push(format!("{owner} has {addr}"));
                continue;
            }
            programming.assigned.push(addr);
            if let Some(error) = feedback.listening.get(&addr) {
                let problem = format!("cannot listen on {addr}: {error}");
                programming.problems.push(problem);
            }
        }
        programming
    }

    /// Whether it has addresses, and listens on all of them.
    pub(crate) const fn is_complete(&self) -> bool {
        !self.assigned.is_empty() && self.problems.is_empty()
    }

    /// The message of the condition `Programmed`: [`held`] reads it.
    pub(crate) fn message(&self) -> String {
        let assigned: Vec<String> = self.assigned.iter().map(ToString::to_string).collect();
        let assigned = match assigned.is_empty() {
            true => None,
            false => Some(format!("{ASSIGNED}{}", assigned.join(", "))),
        };
        let parts = assigned.into_iter().chain(self.problems.iter().cloned());
        parts.collect::<Vec<_>>().join("; ")
    }
}

/// The addresses and ports in the message of a condition `Programmed`.
pub(crate) fn held(message: &str) -> Vec<SocketAddr> {
    let assigned = message.strip_prefix(ASSIGNED).unwrap_or_default();
    let assigned = assigned.split(';').next().unwrap_or_default();
    let addrs = assigned.split(',');
    addrs.filter_map(|addr| addr.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_says_what_is_held() {
        let assigned = ["192.0.2.1:80", "[2001:db8::1]:80"].map(|addr| addr.parse().unwrap());
        let mut programming = Programming {
            assigned: assigned.to_vec(),
            ..Programming::default()
        };
        assert_eq!(
            programming.message(),
            "assigned 192.0.2.1:80, [2001:db8::1]:80"
        );
        assert_eq!(held(&programming.message()), assigned);
        programming
            .problems
            .push("cannot listen on 192.0.2.1:80: denied".to_owned());
        assert_eq!(held(&programming.message()), assigned);
        programming.assigned.clear();
        assert_eq!(
            programming.message(),
            "cannot listen on 192.0.2.1:80: denied"
        );
        for other in [
            "",
            "assigned",
            "assigned x, ;",
            "cannot listen on 192.0.2.1:80: denied",
        ] {
            assert_eq!(held(other), [], "{other}");
        }
    }
}
