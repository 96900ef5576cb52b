//! The pods that a selector matches.

use std::sync::Arc;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::api_client::{ApiClient, Query, Selection};
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::pod::Pod;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::workload::{SelectorSource, Workload};
use crate::sources::kubernetes::pods::snapshot;
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::object_store::{ObjectStore, changed};
use crate::sources::kubernetes::watch::view_follower::{View, ViewState};

/// Queries the pods that a label selector matches.
pub(crate) fn pods_of(api: &ApiClient, namespace: &str, selector: &str) -> Query {
    let of = format!("{namespace}/{selector}");
    api.query::<Pod>(Some(namespace), Selection::Labelled(selector), &of)
}

/// The pods of one selector, which may change.
pub(crate) struct PodView<W> {
    api: ApiClient,
    namespace: Box<str>,
    selectors: SelectorSource<W>,
    history: Arc<WatchHistory>,
    /// The current selector and its pods.
    pods: Option<(Box<str>, ObjectStore<Pod>)>,
    port: Port,
    families: Families,
}

impl<W: Workload> PodView<W> {
    pub(crate) fn new(
        api: ApiClient,
        namespace: Box<str>,
        selectors: SelectorSource<W>,
        history: Arc<WatchHistory>,
        port: Port,
        families: Families,
    ) -> Self {
        let mut selected = Self {
            api,
            namespace,
            selectors,
            history,
            pods: None,
            port,
            families,
        };
        selected.select();
        selected
    }

    /// Follows the pods of the current selector, if it has changed.
    fn select(&mut self) {
        let Some(Ok(selector)) = self.selectors.current() else {
            self.pods = None;
            return;
        };
        if self.pods.as_ref().is_none_or(|(old, _)| **old != *selector) {
            let query = pods_of(&self.api, &self.namespace, selector);
            let pods = ObjectStore::follow(&self.api, query, &self.history);
            self.pods = Some((selector.into(), pods));
        }
    }
}

impl<W: Workload> View for PodView<W> {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let pods = self.pods.as_mut().map(|(_, pods)| pods);
        let done = tokio::select! {
            done = self.selectors.changed() => done,
            done = changed(pods) => done,
        };
        self.select();
        done
    }

    fn state(&mut self) -> ViewState {
        if let Some(Err(reason)) = self.selectors.current() {
            return ViewState::NoBackends(reason.to_owned());
        }
        let pods = self.pods.as_ref().and_then(|(_, pods)| pods.get());
        pods.map_or(ViewState::Pending, |pods| {
            ViewState::of(snapshot::snapshot(pods.values(), &self.port, self.families))
        })
    }
}
