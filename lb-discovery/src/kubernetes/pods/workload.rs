//! Which pods a DaemonSet or a Deployment means.

use std::fmt;
use std::marker::PhantomData;

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, Deployment, DeploymentSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Resource;
use kube::core::Selector;
use serde::de::DeserializeOwned;

use crate::error::DiscoveryError;
use crate::kubernetes::failure;
use crate::kubernetes::list_watch::{Record, list};
use crate::kubernetes::objects::Memory;
use crate::kubernetes::session::{Selection, Session};

/// A kind of object that makes pods.
pub(super) trait Workload:
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
struct Selecting<W>(Option<String>, PhantomData<fn() -> W>);

impl<W: Workload> Record for Selecting<W> {
    type Object = W;

    fn of(workload: W) -> Self {
        let selector = workload.selector().map(Selector::try_from);
        let text = selector
            .and_then(Result::ok)
            .map(|selector| selector.to_string());
        Self(text.filter(|text| !text.is_empty()), PhantomData)
    }
}

/// The label selector of the workload `name`. It cannot change while the workload lives.
pub(super) async fn selector_of<W: Workload>(
    session: &Session,
    namespace: &str,
    name: &str,
    memory: &Memory,
) -> Result<String, DiscoveryError> {
    let of = format!("{namespace}/{name}");
    let query = session.query::<Selecting<W>>(Some(namespace), Selection::Named(name), &of);
    let (found, _) = list::<Selecting<W>>(session, &query).await?;
    memory.listed(found.len(), &query.what, session.url())?;
    let Some(Selecting(selector, _)) = found.into_values().next() else {
        return Err(failure::no_backends(&query.what, "it does not exist"));
    };
    selector.ok_or_else(|| failure::config(&query.what, "its label selector is empty or invalid"))
}
