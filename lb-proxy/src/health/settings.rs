//! Settings of a check: interval, source address, rise and fall.

use std::net::IpAddr;
use std::time::Duration;

use super::error::CheckSettingsError;

/// The shortest interval between two probes of one backend.
pub(crate) const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);

/// When the backends of an upstream are probed, from where, and when their state changes.
///
/// The defaults are nginx's: every 5 s, one failed probe is enough, and one that passes too.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckSettings {
    /// The name of the check in logs, metrics and status pages, of which the first 100 bytes are used. A name that an earlier
    /// check of the upstream has gets a number, as in `http #2`. Default: [`HealthCheck::name`](super::HealthCheck::name).
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub name: Option<Box<str>>,
    /// The time from the begin of one probe of a backend to the next. Default: 5 s. At least 10 ms. A probe begins up to 5 ms
    /// or a twentieth of the shortest interval early, to begin together with others.
    #[doc(alias = "inter")]
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub interval: Duration,
    /// The interval of a backend in doubt: no probe has had a result yet, or the last ones contradict its state. Default:
    /// [`interval`](Self::interval). At least 10 ms.
    #[doc(alias = "fastinter")]
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub interval_in_doubt: Option<Duration>,
    /// The interval of a backend that is down and fails all probes. Default: [`interval`](Self::interval). At least 10 ms.
    #[doc(alias = "downinter")]
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::OptionalDuration")
    )]
    pub interval_down: Option<Duration>,
    /// How long one probe may take, connecting included. Default: 5 s.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub timeout: Duration,
    /// How many probes in a row have to pass until a backend that was down is up. Default: 1.
    #[doc(alias = "passes", alias = "healthy_threshold")]
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Positive::<u32>")
    )]
    pub rise: u32,
    /// How many probes in a row have to fail until a backend that was up is down. Default: 1.
    #[doc(alias = "fails", alias = "unhealthy_threshold")]
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Positive::<u32>")
    )]
    pub fall: u32,
    /// Each interval is longer by a random time up to this. Default: none.
    #[cfg_attr(feature = "serde", serde(with = "lb_core::serde_form::DurationForm"))]
    pub jitter: Duration,
    /// The state of a backend until its first result. Default: [`InitialState::Up`].
    pub initial: InitialState,
    /// The port to probe instead of the backend's own. Default: none. A backend at a unix socket has no port.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub port: Option<u16>,
    /// Source addresses of probes, each used for backends of its family. Default: none, the kernel chooses.
    pub source: Vec<IpAddr>,
    /// The PROXY protocol header in front of a probe. Default: [`ProbeHeader::AsSessions`].
    pub header: ProbeHeader,
    /// How many backends are probed at once, at most. The rest waits, and its interval becomes longer. Each probe takes a
    /// descriptor, for which the [budget](crate::reports::DescriptorBudget) has room; an eighth of all descriptors is the
    /// most that all probes of a server take, whatever their upstream. Those beyond it wait in turn. Default: 128.
    #[cfg_attr(
        feature = "serde",
        serde(with = "lb_core::serde_form::Positive::<usize>")
    )]
    pub max_concurrent: usize,
}

/// The state of a backend until checks have decided.
///
/// A backend that was known before a check was added to its upstream keeps its state until the check decides.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[doc(alias = "init-state", alias = "mandatory")]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum InitialState {
    /// It gets no connections. The first probe decides.
    Down,
    /// It gets no connections. It is up after [`rise`](CheckSettings::rise) probes in a row have passed.
    FullyDown,
    /// It gets connections, and is down after [`fall`](CheckSettings::fall) probes in a row have failed.
    FullyUp,
    /// It gets connections. The first probe decides.
    #[default]
    Up,
}

impl InitialState {
    /// Whether a backend gets connections before the first result.
    pub const fn is_up(self) -> bool {
        matches!(self, Self::FullyUp | Self::Up)
    }
}

/// The PROXY protocol header in front of a probe.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
#[doc(alias = "check-send-proxy")]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ProbeHeader {
    /// As the [upstream](crate::UpstreamBuilder::send_proxy) sets it for sessions: version 1, version 2 or none. What a
    /// [listener](crate::Listener::send_proxy) sets is not known here. None if the probe goes to another
    /// [port](CheckSettings::port).
    #[default]
    AsSessions,
    /// None.
    Never,
    /// A line of version 1 with the addresses of the probe's own connection.
    V1,
    /// Version 2 with the command `LOCAL`.
    V2,
}

impl Default for CheckSettings {
    fn default() -> Self {
        Self {
            name: None,
            interval: Duration::from_secs(5),
            interval_in_doubt: None,
            interval_down: None,
            timeout: Duration::from_secs(5),
            rise: 1,
            fall: 1,
            jitter: Duration::ZERO,
            initial: InitialState::default(),
            port: None,
            source: Vec::new(),
            header: ProbeHeader::default(),
            max_concurrent: 128,
        }
    }
}

impl CheckSettings {
    /// Sets [`name`](field@Self::name).
    #[must_use]
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets [`interval`](field@Self::interval).
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`interval_in_doubt`](field@Self::interval_in_doubt).
    #[must_use]
    pub fn interval_in_doubt(mut self, interval: Option<Duration>) -> Self {
        self.interval_in_doubt = interval;
        self
    }

    /// Sets [`interval_down`](field@Self::interval_down).
    #[must_use]
    pub fn interval_down(mut self, interval: Option<Duration>) -> Self {
        self.interval_down = interval;
        self
    }

    /// Sets [`timeout`](field@Self::timeout).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets [`rise`](field@Self::rise).
    #[must_use]
    pub fn rise(mut self, probes: u32) -> Self {
        self.rise = probes;
        self
    }

    /// Sets [`fall`](field@Self::fall).
    #[must_use]
    pub fn fall(mut self, probes: u32) -> Self {
        self.fall = probes;
        self
    }

    /// Sets [`jitter`](field@Self::jitter).
    #[must_use]
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets [`initial`](field@Self::initial).
    #[must_use]
    pub fn initial(mut self, initial: InitialState) -> Self {
        self.initial = initial;
        self
    }

    /// Sets [`port`](field@Self::port).
    #[must_use]
    pub fn port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// Adds a [source address](Self::source).
    #[must_use]
    pub fn source(mut self, addr: IpAddr) -> Self {
        self.source.push(addr);
        self
    }

    /// Sets [`header`](field@Self::header).
    #[must_use]
    pub fn header(mut self, header: ProbeHeader) -> Self {
        self.header = header;
        self
    }

    /// Sets [`max_concurrent`](field@Self::max_concurrent).
    #[must_use]
    pub fn max_concurrent(mut self, probes: usize) -> Self {
        self.max_concurrent = probes;
        self
    }

    /// The shortest time from one probe of a backend to the next.
    pub(crate) fn shortest_interval(&self) -> Duration {
        let others = [self.interval_in_doubt, self.interval_down];
        let others = others.into_iter().flatten();
        others.fold(self.interval, Duration::min)
    }

    /// Finds a setting that cannot work.
    pub(crate) fn check(&self) -> Result<(), CheckSettingsError> {
        let intervals = [
            ("interval", Some(self.interval)),
            ("interval_in_doubt", self.interval_in_doubt),
            ("interval_down", self.interval_down),
        ];
        for (setting, interval) in intervals {
            if interval.is_some_and(|interval| interval < SHORTEST_INTERVAL) {
                return Err(CheckSettingsError::TooShort { setting });
            }
        }
        if self.timeout.is_zero() {
            return Err(CheckSettingsError::ZeroTimeout);
        }
        let numbers = [
            ("rise", u64::from(self.rise)),
            ("fall", self.fall.into()),
            ("max_concurrent", self.max_concurrent as u64),
        ];
        if let Some((setting, _)) = numbers.iter().find(|(_, number)| *number == 0) {
            return Err(CheckSettingsError::Zero { setting });
        }
        if self.port == Some(0) {
            return Err(CheckSettingsError::PortZero);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let default = CheckSettings::default;
        let short = Duration::from_millis(9);
        assert_eq!(default().check(), Ok(()));
        for (settings, setting) in [
            (default().interval(Duration::ZERO), "interval"),
            (
                default().interval_in_doubt(Some(short)),
                "interval_in_doubt",
            ),
            (default().interval_down(Some(short)), "interval_down"),
        ] {
            let error = CheckSettingsError::TooShort { setting };
            assert_eq!(settings.check(), Err(error));
        }
        let timeless = default().timeout(Duration::ZERO).check();
        assert_eq!(timeless, Err(CheckSettingsError::ZeroTimeout));
        for (settings, setting) in [
            (default().rise(0), "rise"),
            (default().fall(0), "fall"),
            (default().max_concurrent(0), "max_concurrent"),
        ] {
            let error = CheckSettingsError::Zero { setting };
            assert_eq!(settings.check(), Err(error));
        }
        let port = default().port(Some(0)).check();
        assert_eq!(port, Err(CheckSettingsError::PortZero));
    }
}
