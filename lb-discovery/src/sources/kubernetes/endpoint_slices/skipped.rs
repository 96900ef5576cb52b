//! The log of slices that are passed over.

use std::collections::BTreeMap;

use tracing::warn;

use crate::sources::kubernetes::error::shortened;
use crate::sources::kubernetes::objects::service::Service;
use crate::sources::kubernetes::objects::slice::Slice;

/// Tells of each slice that is passed over, once while the reason stays the same.
#[derive(Debug)]
pub(crate) struct PassedOver {
    what: Box<str>,
    told: BTreeMap<String, String>,
}

impl PassedOver {
    /// `what` names the source in the log.
    pub(crate) fn new(what: &str) -> Self {
        Self {
            what: what.into(),
            told: BTreeMap::new(),
        }
    }

    pub(crate) fn tell(&mut self, slices: &BTreeMap<String, Slice>, service: &Service, port: &str) {
        let passed_over = slices.iter().filter_map(|(name, slice)| {
            let reason = slice.passed_over(service, port)?;
            Some((name.clone(), reason))
        });
        let now: BTreeMap<_, _> = passed_over.collect();
        for (slice, reason) in &now {
            if self.told.get(slice) != Some(reason) {
                let (slice, reason) = (shortened(slice), shortened(reason));
                warn!(what = %self.what, ?slice, %reason, "EndpointSlice passed over");
            }
        }
        self.told = now;
    }
}
