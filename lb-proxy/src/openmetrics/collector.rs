//! The collector of a server.

use std::fmt;
#[cfg(feature = "access-events")]
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::view::UpstreamView;
use super::writer::FamilyWriter;
use super::{backends, checks, listeners, server, sources, upstreams};
#[cfg(feature = "access-events")]
use crate::access_events::JsonEvents;
use crate::server::Handle;

/// Collects the metrics of one server at each scrape.
///
/// It goes on after the end of the server, whose counters then stay as they are.
#[derive(Clone, Debug)]
#[must_use = "a collector collects once it is registered"]
pub struct ServerCollector {
    handle: Handle,
    by_backend: bool,
    #[cfg(feature = "access-events")]
    events: Option<Arc<JsonEvents>>,
}

impl ServerCollector {
    /// A collector of the server of `handle`.
    pub const fn new(handle: Handle) -> Self {
        Self {
            handle,
            by_backend: true,
            #[cfg(feature = "access-events")]
            events: None,
        }
    }

    /// Also collects how many lines of `events` were [lost](JsonEvents::lost), which the proxy does not know of. Default: none.
    #[cfg(feature = "access-events")]
    pub fn access_events(mut self, events: Arc<JsonEvents>) -> Self {
        self.events = Some(events);
        self
    }

    /// Sets whether a scrape has the metrics of each backend: some thirty lines for each of them. Default: yes.
    pub const fn by_backend(mut self, by_backend: bool) -> Self {
        self.by_backend = by_backend;
        self
    }
}

impl Collector for ServerCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut writer = FamilyWriter::new(encoder);
        let detailed = self.handle.last_detailed_metrics().unwrap_or_default();
        let views = UpstreamView::of(&self.handle.upstreams(), self.by_backend);
        server::write(&mut writer, &self.handle)?;
        #[cfg(feature = "access-events")]
        server::write_lost(&mut writer, self.events.as_deref())?;
        listeners::write(&mut writer, &detailed.listeners)?;
        upstreams::write(&mut writer, &detailed.upstreams, &views)?;
        if self.by_backend {
            backends::write(&mut writer, &detailed.upstreams, &views)?;
            checks::write(&mut writer, &views)?;
        }
        sources::write(&mut writer, &views)
    }
}
