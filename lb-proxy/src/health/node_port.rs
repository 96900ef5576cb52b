//! The check of a node by kube-proxy.

use async_trait::async_trait;
use lb_core::Weight;

use super::agent_line::number;
use super::check::{CheckReport, HealthCheck};
use super::error::CheckError;
use super::http::HttpCheck;
use super::probe::Probe;
use crate::backend_override::WeightOverride;

/// How many endpoints of the service the node has, since Kubernetes 1.31.
const WEIGHT: &str = "X-Load-Balancing-Endpoint-Weight";

/// Asks the kube-proxy of a node whether the node has ready endpoints of a service, for backends that are node ports of a
/// service with `externalTrafficPolicy: Local`.
///
/// kube-proxy answers with the status 200 if the node has endpoints, and 503 if not: connections to such a node would be lost.
/// The header `X-Load-Balancing-Endpoint-Weight` says how many it has, and becomes the weight of the backend, so that
/// sessions spread evenly over endpoints instead of nodes. Without the header the weight stays as it is.
///
/// The port is `healthCheckNodePort` of the service's specification.
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias = "healthCheckNodePort", alias = "kube-proxy")]
pub struct NodePortCheck {
    port: u16,
    http: HttpCheck,
    weighs: bool,
}

impl NodePortCheck {
    /// Asks at the port `health_check_node_port` of each backend's address, whatever port the backend has.
    pub fn new(health_check_node_port: u16) -> Self {
        let http = HttpCheck::try_new("/healthz").and_then(|http| http.try_statuses([200..=200]));
        Self {
            port: health_check_node_port,
            http: http.expect("constants that HTTP allows"),
            weighs: true,
        }
    }

    /// Sets whether the number of endpoints becomes the weight of the backend. Default: yes.
    pub fn weight(mut self, weighs: bool) -> Self {
        self.weighs = weighs;
        self
    }
}

#[async_trait]
impl HealthCheck for NodePortCheck {
    fn name(&self) -> &str {
        "node_port"
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let probe = probe.at_port(self.port);
        let answer = self.http.ask(&probe, Some(WEIGHT)).await?;
        let text = answer.status_line();
        if answer.status != 200 {
            return Err(CheckError::Unexpected(
                format!("no endpoints on the node: {text}").into(),
            ));
        }
        let weight = answer.header.filter(|_| self.weighs);
        let weight = weight.map(|value| weight_of(&value)).transpose()?;
        let weight = weight.map(WeightOverride::Value);
        Ok(CheckReport::with_text(text).weight(weight))
    }
}

/// The number of endpoints as a weight. A node with the status 200 has at least one.
fn weight_of(value: &[u8]) -> Result<Weight, CheckError> {
    let text = str::from_utf8(value).unwrap_or_default().trim();
    let count = number(text).ok_or_else(|| CheckError::unexpected(value))?;
    let count = u16::try_from(count).unwrap_or(u16::MAX);
    Ok(Weight::new(count.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_is_a_number_of_endpoints() {
        let weight = |text: &str| weight_of(text.as_bytes()).map(Weight::get).ok();
        assert_eq!(weight("3"), Some(3));
        assert_eq!(weight(" 3 "), Some(3));
        assert_eq!(weight("0"), Some(1));
        assert_eq!(weight("99999999999"), Some(u16::MAX));
        for bad in ["", "-1", "3.5", "many", "+3"] {
            assert_eq!(weight(bad), None, "{bad}");
        }
    }
}
