//! Finds the backends that a request names.

use std::collections::HashSet;
use std::net::SocketAddr;

use lb_core::{Backend, Endpoint, Escaped};

use crate::admin::answer::RequestError;
use crate::admin::query::Parameters;
use crate::{Handle, Upstream};

/// A backend of an upstream.
#[derive(Clone, Debug)]
pub(super) struct TargetBackend {
    pub(super) upstream: Upstream,
    pub(super) addr: SocketAddr,
    pub(super) endpoint: Endpoint,
}

/// The upstream that the parameter `upstream` names.
pub(super) fn upstream(handle: &Handle, name: &str) -> Result<Upstream, RequestError> {
    let mut upstreams = handle.upstreams().into_iter();
    let found = upstreams.find(|upstream| upstream.name() == name);
    found.ok_or_else(|| {
        RequestError::not_found(format!("there is no upstream \"{}\"", Escaped(name)))
    })
}

/// The backend that the parameters `backend` and `upstream` name, in each upstream that has it. The backend is named by its
/// address, by `unix:` and its path, or by its name if only one backend has it.
///
/// Absent backends with overrides count, so that their overrides can be removed.
pub(super) fn targets(
    handle: &Handle,
    parameters: &Parameters,
) -> Result<Vec<TargetBackend>, RequestError> {
    let asked = parameters.required("backend")?;
    let upstreams = match parameters.get("upstream") {
        Some(name) => vec![upstream(handle, name)?],
        None => handle.upstreams(),
    };
    let all: Vec<Candidate> = upstreams.iter().flat_map(candidates).collect();
    let addr: Option<SocketAddr> = asked.parse().ok();
    let by_address =
        |c: &&Candidate| addr == Some(c.target.addr) || c.target.endpoint.to_string() == asked;
    let mut found: Vec<&Candidate> = all.iter().filter(by_address).collect();
    if found.is_empty() {
        found = all.iter().filter(|c| c.has_name(asked)).collect();
        if let Some(other) = found.iter().find(|c| c.target.addr != found[0].target.addr) {
            let [one, other] = [found[0], other].map(|c| c.target.endpoint.to_string());
            return Err(RequestError {
                status: 409,
                text: format!(
                    "several backends are named \"{}\", such as {one} and {other}: give the address",
                    Escaped(asked)
                ),
            });
        }
    }
    if found.is_empty() {
        return Err(RequestError::not_found(format!(
            "there is no backend \"{}\"",
            Escaped(asked)
        )));
    }
    Ok(found.into_iter().map(|c| c.target.clone()).collect())
}

#[derive(Debug)]
struct Candidate {
    target: TargetBackend,
    name: Option<std::sync::Arc<str>>,
}

impl Candidate {
    fn has_name(&self, name: &str) -> bool {
        self.name.as_deref() == Some(name)
    }
}

fn candidates(upstream: &Upstream) -> Vec<Candidate> {
    let set = upstream.backends();
    let candidate = |addr, endpoint, name| Candidate {
        target: TargetBackend {
            upstream: upstream.clone(),
            addr,
            endpoint,
        },
        name,
    };
    let of = |b: &Backend| candidate(b.addr, b.endpoint(), b.name.clone());
    let mut all: Vec<Candidate> = set.snapshot().iter().map(of).collect();
    let mut listed: HashSet<SocketAddr> = all.iter().map(|c| c.target.addr).collect();
    for active in upstream.overrides() {
        // An absent backend may have several overrides.
        if listed.insert(active.addr) {
            all.push(candidate(active.addr, active.endpoint, None));
        }
    }
    all
}
