//! The trait of a check, and its result.

use std::fmt;
use std::num::NonZeroU32;

use async_trait::async_trait;

use super::error::CheckError;
use super::probe::Probe;
use crate::backend_override::{OverrideOrigin, WeightOverride};

/// Finds out whether a backend works. One value checks all backends of an upstream.
///
/// `lb` brings the checks of [this module](super). An own check implements this trait:
///
/// ```
/// use lb_proxy::health::{CheckError, CheckReport, HealthCheck, Probe};
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// /// Redis answers `+PONG`.
/// #[derive(Debug)]
/// struct Redis;
///
/// #[async_trait::async_trait]
/// impl HealthCheck for Redis {
///     fn name(&self) -> &str {
///         "redis"
///     }
///
///     async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
///         let mut stream = probe.connect().await?;
///         stream.write_all(b"PING\r\n").await?;
///         let mut answer = [0; 5];
///         stream.read_exact(&mut answer).await?;
///         match &answer {
///             b"+PONG" => Ok(CheckReport::default()),
///             other => Err(CheckError::unexpected(other)),
///         }
///     }
/// }
/// # let _ = Redis;
/// ```
#[doc(alias = "health_check", alias = "option httpchk", alias = "tcp-check")]
#[async_trait]
pub trait HealthCheck: fmt::Debug + Send + Sync + 'static {
    /// The type of the check, as a short name for logs, metrics and status pages, unless
    /// [`CheckSettings::name`](super::CheckSettings::name) is set. Default: `custom`.
    fn name(&self) -> &str {
        "custom"
    }

    /// The precedence of the weight, the limit and the drain that it [reports](CheckReport). Default:
    /// [`OverrideOrigin::HealthCheck`], the lowest.
    fn override_origin(&self) -> OverrideOrigin {
        OverrideOrigin::HealthCheck
    }

    /// Whether a probe that takes longer than [`CheckSettings::timeout`](super::CheckSettings::timeout) counts as failed.
    /// Default: yes. If not, it counts neither way.
    fn counts_timeouts(&self) -> bool {
        true
    }

    /// Probes one backend.
    ///
    /// The scheduler drops the future after [`CheckSettings::timeout`](super::CheckSettings::timeout), or when the backend
    /// is removed, so it must be cancel-safe. It must not block: all probes of a server run on one thread. A panic counts as a
    /// failed probe. A [reload](crate::Handle::reload) compares checks by their `Debug` text: two with the same text are the
    /// same check.
    ///
    /// # Errors
    ///
    /// Each error but [`CheckError::Local`] and [`CheckError::Inconclusive`] is a failed probe.
    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError>;
}

/// What a probe that did not fail found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CheckReport {
    /// What the backend answered, for status pages. At most 200 bytes of it are kept.
    pub text: Option<Box<str>>,
    /// The weight that the backend asks for. `None` leaves the present one.
    pub weight: Option<WeightOverride>,
    /// The [`max_conns`](field@lb_core::Backend::max_conns) that the backend asks for, `Some(None)` for no limit. `None` leaves
    /// the present one.
    pub max_conns: Option<Option<NonZeroU32>>,
    /// Whether the backend asks for new connections. `None` leaves what it asked for before.
    pub admin: Option<ReportedAdmin>,
    /// Whether the backend says that it works. Default: yes.
    pub health: ReportedHealth,
}

impl CheckReport {
    /// The backend works, and answered `text`.
    pub fn with_text(text: impl Into<Box<str>>) -> Self {
        Self {
            text: Some(text.into()),
            ..Self::default()
        }
    }

    /// Whether the probe passed.
    pub(crate) fn passed(&self) -> bool {
        self.health == ReportedHealth::Up
    }

    /// Sets [`weight`](field@Self::weight).
    #[must_use]
    pub fn weight(mut self, weight: Option<WeightOverride>) -> Self {
        self.weight = weight;
        self
    }

    /// Asks for [`max_conns`](field@Self::max_conns). 0 is no limit, as in nginx and HAProxy.
    #[must_use]
    pub fn max_conns(mut self, max_conns: u32) -> Self {
        self.max_conns = Some(NonZeroU32::new(max_conns));
        self
    }

    /// Sets [`admin`](field@Self::admin).
    #[must_use]
    pub fn admin(mut self, admin: Option<ReportedAdmin>) -> Self {
        self.admin = admin;
        self
    }

    /// Sets [`health`](field@Self::health).
    #[must_use]
    pub fn health(mut self, health: ReportedHealth) -> Self {
        self.health = health;
        self
    }
}

/// Whether a backend asks for new connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReportedAdmin {
    /// No new connections.
    Drain,
    /// No new connections. The same as `Drain`, as other checks go on.
    #[doc(alias = "maint")]
    Maintenance,
    /// What its source or an operator says.
    Ready,
}

/// What a backend says of itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum ReportedHealth {
    /// It does not work: the probe counts as failed, but what else was reported applies.
    Down,
    /// It says nothing: the probe counts neither as passed nor as failed.
    Unstated,
    /// It works.
    #[default]
    Up,
}
