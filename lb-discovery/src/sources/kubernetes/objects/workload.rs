//! Which pods a DaemonSet or a Deployment means.

use std::fmt;
use std::future;
use std::marker::PhantomData;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::core::Selector;
use serde::de::DeserializeOwned;

use crate::error::DiscoveryError;
use crate::sources::kubernetes::api::requests::{Selection, Session};
use crate::sources::kubernetes::objects::record::Record;
use crate::sources::kubernetes::watch::object_store::{Memory, Objects};

/// A kind of object that makes pods.
pub(crate) trait Workload:
    Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + PartialEq + Send + 'static
{
    fn selector(self) -> Option<LabelSelector>;
}

// Whether there is an `Option` around the spec depends on the version of the API that the binary chooses.

impl Workload for DaemonSet {
    #[allow(clippy::useless_conversion)]
    fn selector(self) -> Option<LabelSelector> {
        Option::from(self.spec).map(|spec: DaemonSetSpec| spec.selector)
    }
}

impl Workload for Deployment {
    #[allow(clippy::useless_conversion)]
    fn selector(self) -> Option<LabelSelector> {
        Option::from(self.spec).map(|spec: DeploymentSpec| spec.selector)
    }
}

/// The label selector of a workload, unless it means everything or nothing can be made of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Selecting<W>(Option<Box<str>>, PhantomData<fn() -> W>);

impl<W: Workload> Record for Selecting<W> {
    type Object = W;

    fn of(workload: W) -> Self {
        let selector = workload.selector().map(Selector::try_from);
        let text = selector
            .and_then(Result::ok)
            .map(|selector| selector.to_string());
        let text = text.filter(|text| !text.is_empty());
        Self(text.map(Into::into), PhantomData)
    }
}

/// Where the label selector of the pods comes from.
pub(crate) enum Selectors<W> {
    Given(Box<str>),
    /// That of the one workload, which may be made anew with another one.
    Of(Objects<Selecting<W>>),
}

impl<W: Workload> Selectors<W> {
    /// Follows the workload `name`.
    pub(crate) fn of(
        session: &Session,
        namespace: &str,
        name: &str,
        memory: &Arc<Memory>,
    ) -> (Box<str>, Self) {
        let of = format!("{namespace}/{name}");
        let query = session.query::<Selecting<W>>(Some(namespace), Selection::Named(name), &of);
        let what = query.what.clone();
        (what, Self::Of(Objects::follow(session, query, memory)))
    }

    /// Waits until the selector may have changed.
    pub(crate) async fn changed(&mut self) -> Result<(), DiscoveryError> {
        match self {
            Self::Given(_) => future::pending().await,
            Self::Of(workload) => workload.changed().await,
        }
    }

    /// The selector, or why there is none. `None` while that is not known.
    pub(crate) fn current(&self) -> Option<Result<&str, &'static str>> {
        let workload = match self {
            Self::Given(selector) => return Some(Ok(selector)),
            Self::Of(workload) => workload.get()?,
        };
        Some(match workload.values().next() {
            None => Err("it does not exist"),
            Some(Selecting(None, _)) => Err("its label selector is empty or invalid"),
            Some(Selecting(Some(selector), _)) => Ok(selector),
        })
    }
}
