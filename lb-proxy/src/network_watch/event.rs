//! Events of a machine's network.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A part of this machine's network that comes and goes.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NetworkPart {
    /// An address of some interface. An IPv6 address is there when the kernel has found that no other machine uses it.
    Address(IpAddr),
    /// A default route for IPv4, in whichever table.
    DefaultRouteV4,
    /// A default route for IPv6.
    DefaultRouteV6,
    /// The link of the interface with this name. It is there while it is up and has a carrier.
    Link(Box<str>),
}

/// What happened to a part of the network.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NetworkEvent {
    /// It is there, and was not lost before: it is new since the watch began.
    Appeared(NetworkPart),
    /// It is gone.
    Lost(NetworkPart),
    /// It is there again.
    Returned {
        /// What returned.
        part: NetworkPart,
        /// How long ago its loss was seen.
        lost_for: Duration,
    },
}

impl fmt::Display for NetworkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(ip) => write!(f, "address {ip}"),
            Self::DefaultRouteV4 => f.write_str("default route of IPv4"),
            Self::DefaultRouteV6 => f.write_str("default route of IPv6"),
            Self::Link(name) => write!(f, "link {}", lb_core::Escaped(name)),
        }
    }
}

impl NetworkPart {
    /// The name of what it is, in snake case. Never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::DefaultRouteV4 => "default_route_v4",
            Self::DefaultRouteV6 => "default_route_v6",
            Self::Link(_) => "link",
        }
    }
}

impl NetworkEvent {
    /// The name of the event, in snake case. Never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Appeared(_) => "appeared",
            Self::Lost(_) => "lost",
            Self::Returned { .. } => "returned",
        }
    }

    /// What it happened to.
    pub const fn part(&self) -> &NetworkPart {
        match self {
            Self::Appeared(part) | Self::Lost(part) | Self::Returned { part, .. } => part,
        }
    }
}

/// Such as `link eth0 lost`, or `link eth0 returned after 3s`.
impl fmt::Display for NetworkEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part(), self.as_str())?;
        match self {
            Self::Returned { lost_for, .. } => write!(f, " after {lost_for:?}"),
            Self::Appeared(_) | Self::Lost(_) => Ok(()),
        }
    }
}

/// As it displays.
#[cfg(feature = "serde")]
impl serde::Serialize for NetworkPart {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(feature = "serde")]
#[derive(serde::Serialize)]
struct EventForm<'a> {
    event: &'static str,
    part: &'a NetworkPart,
    #[serde(serialize_with = "lb_core::serde_form::optional_seconds")]
    lost_for: Option<Duration>,
}

/// `event`, `part`, and `lost_for` in seconds.
#[cfg(feature = "serde")]
impl serde::Serialize for NetworkEvent {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let form = EventForm {
            event: self.as_str(),
            part: self.part(),
            lost_for: match self {
                Self::Returned { lost_for, .. } => Some(*lost_for),
                Self::Appeared(_) | Self::Lost(_) => None,
            },
        };
        form.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_displays_what_happened_to_which_part() {
        let part = NetworkPart::Link("eth0".into());
        let lost = NetworkEvent::Lost(part.clone());
        assert_eq!(lost.to_string(), "link eth0 lost");
        let lost_for = Duration::from_millis(1500);
        let returned = NetworkEvent::Returned { part, lost_for };
        assert_eq!(returned.to_string(), "link eth0 returned after 1.5s");
        #[cfg(feature = "serde")]
        {
            let json = |event: &NetworkEvent| serde_json::to_string(event).unwrap();
            let expected = r#"{"event":"lost","part":"link eth0","lost_for":null}"#;
            assert_eq!(json(&lost), expected);
            let expected = r#"{"event":"returned","part":"link eth0","lost_for":1.5}"#;
            assert_eq!(json(&returned), expected);
        }
    }
}
