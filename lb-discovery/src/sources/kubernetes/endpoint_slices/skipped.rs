//! The log of skipped slices.

use std::collections::BTreeMap;

use tracing::warn;

use crate::sources::kubernetes::error::shortened;
use crate::sources::kubernetes::objects::service::Service;
use crate::sources::kubernetes::objects::slice::Slice;

/// Logs each skipped slice, once while the reason stays the same.
#[derive(Debug)]
pub(crate) struct SkippedSlices {
    what: Box<str>,
    logged: BTreeMap<String, String>,
}

impl SkippedSlices {
    /// `what` names the source in the log.
    pub(crate) fn new(what: &str) -> Self {
        Self {
            what: what.into(),
            logged: BTreeMap::new(),
        }
    }

    pub(crate) fn log(&mut self, slices: &BTreeMap<String, Slice>, service: &Service, port: &str) {
        let skipped = slices.iter().filter_map(|(name, slice)| {
            let reason = slice.skip_reason(service, port)?;
            Some((name.clone(), reason))
        });
        let now: BTreeMap<_, _> = skipped.collect();
        for (slice, reason) in &now {
            if self.logged.get(slice) != Some(reason) {
                let (slice, reason) = (shortened(slice), shortened(reason));
                warn!(what = %self.what, ?slice, %reason, "EndpointSlice skipped");
            }
        }
        self.logged = now;
    }
}
