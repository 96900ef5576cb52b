//! The label selectors of DaemonSets and Deployments.

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
use crate::sources::kubernetes::api::api_client::{ApiClient, Selection};
use crate::sources::kubernetes::objects::projection::Projection;
use crate::sources::kubernetes::watch::history::WatchHistory;
use crate::sources::kubernetes::watch::object_store::ObjectStore;

/// A kind of object that creates pods.
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

/// The label selector of a workload. `None` if it is empty, which selects everything, or invalid.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WorkloadSelector<W>(Option<Box<str>>, PhantomData<fn() -> W>);

impl<W: Workload> Projection for WorkloadSelector<W> {
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
pub(crate) enum SelectorSource<W> {
    Credentials(Box<str>),
    /// The selector of one workload, which may be recreated with another one.
    Of(ObjectStore<WorkloadSelector<W>>),
}

impl<W: Workload> SelectorSource<W> {
    /// Follows the workload `name`.
    pub(crate) fn of(
        api: &ApiClient,
        namespace: &str,
        name: &str,
        history: &Arc<WatchHistory>,
    ) -> (Box<str>, Self) {
        let of = format!("{namespace}/{name}");
        let query = api.query::<WorkloadSelector<W>>(Some(namespace), Selection::Named(name), &of);
        let what = query.what.clone();
        (what, Self::Of(ObjectStore::follow(api, query, history)))
    }

    /// Waits until the selector may have changed.
    pub(crate) async fn changed(&mut self) -> Result<(), DiscoveryError> {
        match self {
            Self::Credentials(_) => future::pending().await,
            Self::Of(workload) => workload.changed().await,
        }
    }

    /// The selector, or the reason why there is none. `None` before the first list.
    pub(crate) fn current(&self) -> Option<Result<&str, &'static str>> {
        let workload = match self {
            Self::Credentials(selector) => return Some(Ok(selector)),
            Self::Of(workload) => workload.get()?,
        };
        Some(match workload.values().next() {
            None => Err("it does not exist"),
            Some(WorkloadSelector(None, _)) => Err("its label selector is empty or invalid"),
            Some(WorkloadSelector(Some(selector), _)) => Ok(selector),
        })
    }
}
