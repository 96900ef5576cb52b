//! The bandwidth of the sessions of a listener.

use std::fmt;
use std::sync::Arc;

use crate::bandwidth::Bandwidth;
use crate::connection::Connection;

/// The bandwidth of each session, or a function of its connection.
#[derive(Clone)]
pub(crate) enum BandwidthSetting {
    Fixed(Bandwidth),
    Function(Arc<BandwidthFn>),
}

pub(crate) type BandwidthFn = dyn Fn(&Connection) -> Bandwidth + Send + Sync;

impl BandwidthSetting {
    pub(crate) fn of(function: impl Fn(&Connection) -> Bandwidth + Send + Sync + 'static) -> Self {
        Self::Function(Arc::new(function))
    }

    /// Whether both are equal limits, or one function.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Fixed(one), Self::Fixed(other)) => one == other,
            (Self::Function(one), Self::Function(other)) => Arc::ptr_eq(one, other),
            (Self::Fixed(_) | Self::Function(_), _) => false,
        }
    }
}

impl From<Bandwidth> for BandwidthSetting {
    fn from(bandwidth: Bandwidth) -> Self {
        Self::Fixed(bandwidth)
    }
}

impl fmt::Debug for BandwidthSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(bandwidth) => f.debug_tuple("Fixed").field(bandwidth).finish(),
            Self::Function(_) => f.debug_struct("Function").finish_non_exhaustive(),
        }
    }
}
