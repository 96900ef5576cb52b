//! `/metrics`.

use prometheus_client::registry::Registry;

use super::context::{Answered, RouteContext, RouteRequest};
use crate::admin::answer::AdminAnswer;
use crate::embedder_code::named;
use crate::openmetrics::{Format, SocketCollector, encode_all};

pub(super) const PARAMETERS: &[&str] = &["sockets"];

/// How many sockets a request reads at most: some 10 ms.
const MOST_SOCKETS: usize = 10_000;

/// All metrics in the format that the client asks for, and those of a sample of sockets if it asks for some.
pub(super) fn metrics(context: &RouteContext, request: &RouteRequest<'_>) -> Answered {
    let format = Format::accepted(request.accept);
    let asked = request.parameters.parse("sockets", "a number of sockets")?;
    let sockets = asked.filter(|most: &usize| *most > 0).map(|most| {
        let mut registry = Registry::default();
        let handle = context.handle.clone();
        let collector = SocketCollector::new(handle, most.min(MOST_SOCKETS));
        registry.register_collector(Box::new(collector));
        registry
    });
    let registries: Vec<_> = [&context.registry].into_iter().chain(&sockets).collect();
    Ok(AdminAnswer {
        status: 200,
        content_type: format.content_type(),
        body: named("Collector::encode", || encode_all(&registries, format)).into_bytes(),
        retry_after: None,
    })
}
