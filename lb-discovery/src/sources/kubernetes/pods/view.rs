//! Following the pods that a selector means.

use std::sync::Arc;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::requests::{Query, Selection, Session};
use crate::sources::kubernetes::objects::families::Families;
use crate::sources::kubernetes::objects::pod::Pod;
use crate::sources::kubernetes::objects::port::Port;
use crate::sources::kubernetes::objects::workload::{Selectors, Workload};
use crate::sources::kubernetes::pods::snapshot;
use crate::sources::kubernetes::watch::follow::{Outcome, View};
use crate::sources::kubernetes::watch::object_store::{Memory, Objects, changed};

/// The pods that a label selector means.
pub(crate) fn pods_of(session: &Session, namespace: &str, selector: &str) -> Query {
    let of = format!("{namespace}/{selector}");
    session.query::<Pod>(Some(namespace), Selection::Labelled(selector), &of)
}

/// The pods of one selector, which may change.
pub(crate) struct Selected<W> {
    session: Session,
    namespace: Box<str>,
    selectors: Selectors<W>,
    memory: Arc<Memory>,
    /// Those of the current selector, with it.
    pods: Option<(Box<str>, Objects<Pod>)>,
    port: Port,
    families: Families,
}

impl<W: Workload> Selected<W> {
    pub(crate) fn new(
        session: Session,
        namespace: Box<str>,
        selectors: Selectors<W>,
        memory: Arc<Memory>,
        port: Port,
        families: Families,
    ) -> Self {
        let mut selected = Self {
            session,
            namespace,
            selectors,
            memory,
            pods: None,
            port,
            families,
        };
        selected.select();
        selected
    }

    /// Follows the pods of another selector once there is one.
    fn select(&mut self) {
        let Some(Ok(selector)) = self.selectors.current() else {
            self.pods = None;
            return;
        };
        if self.pods.as_ref().is_none_or(|(old, _)| **old != *selector) {
            let query = pods_of(&self.session, &self.namespace, selector);
            let pods = Objects::follow(&self.session, query, &self.memory);
            self.pods = Some((selector.into(), pods));
        }
    }
}

impl<W: Workload> View for Selected<W> {
    async fn changed(&mut self) -> Result<(), DiscoveryError> {
        let pods = self.pods.as_mut().map(|(_, pods)| pods);
        let done = tokio::select! {
            done = self.selectors.changed() => done,
            done = changed(pods) => done,
        };
        self.select();
        done
    }

    fn outcome(&mut self) -> Outcome {
        if let Some(Err(reason)) = self.selectors.current() {
            return Outcome::Nothing(reason.to_owned());
        }
        let pods = self.pods.as_ref().and_then(|(_, pods)| pods.get());
        pods.map_or(Outcome::Pending, |pods| {
            Outcome::of(snapshot::snapshot(pods.values(), &self.port, self.families))
        })
    }
}
