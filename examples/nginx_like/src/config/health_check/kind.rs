//! `type` of `health_check`, and what belongs to one type.

use std::ops::RangeInclusive;

use lb_proxy::health::{AgentCheck, HttpCheck, NodePortCheck, TcpCheck};

use super::CheckKind;
use super::parameters::CheckParameters;
use crate::config::match_block::{expectation, literal, send_expect};
use crate::syntax::error::ConfigError;
use crate::syntax::units;

pub(super) fn kind_of(
    kind: &str,
    parameters: &CheckParameters<'_>,
    port: Option<u16>,
) -> Result<CheckKind, ConfigError> {
    let statement = parameters.statement;
    match kind {
        "tcp" if parameters.get("match=").is_some() => {
            parameters.only("tcp with match", &["match="])?;
            Ok(CheckKind::Tcp(TcpCheck::new()))
        }
        "tcp" => {
            parameters.only(kind, &["send=", "expect="])?;
            let (send, expect) = (parameters.get("send="), parameters.get("expect="));
            if (send, expect) == (None, None) {
                return Ok(CheckKind::Tcp(TcpCheck::new()));
            }
            let send = send.map(|text| literal(statement, text)).transpose()?;
            let expect = expect.map(|text| expectation(statement, text));
            Ok(CheckKind::SendExpect(send_expect(
                send,
                expect.transpose()?,
            )))
        }
        "http" => {
            parameters.only(kind, &["uri=", "host=", "status="])?;
            http(parameters).map(CheckKind::Http)
        }
        "tls" => {
            parameters.only(kind, &["sni="])?;
            tls(parameters)
        }
        "agent" => {
            parameters.only(kind, &["send="])?;
            let send = parameters.get("send=").unwrap_or_default();
            let check = AgentCheck::new(parameters.needed_port("agent", port)?);
            Ok(CheckKind::Agent(check.send(literal(statement, send)?)))
        }
        "node_port" => {
            parameters.only(kind, &[])?;
            let port = parameters.needed_port("node_port", port)?;
            Ok(CheckKind::NodePort(NodePortCheck::new(port)))
        }
        "grpc" => Err(statement.refused_parameter("type=grpc", "ask over HTTP by \"type=http\"")),
        other => Err(statement.invalid("parameter", &format!("type={other}"))),
    }
}

fn http(parameters: &CheckParameters<'_>) -> Result<HttpCheck, ConfigError> {
    let statement = parameters.statement;
    let path = parameters.get("uri=").unwrap_or("/");
    let mut check = HttpCheck::try_new(path).map_err(|error| statement.error(error))?;
    if let Some(host) = parameters.get("host=") {
        check = check
            .try_host(host)
            .map_err(|error| statement.error(error))?;
    }
    if let Some(ranges) = parameters.parsed("status=", statuses)? {
        check = check
            .try_statuses(ranges)
            .map_err(|error| statement.error(error))?;
    }
    Ok(check)
}

/// Ranges as `200-299,301`.
fn statuses(text: &str) -> Option<Vec<RangeInclusive<u16>>> {
    let range = |text: &str| {
        let (from, to) = text.split_once('-').unwrap_or((text, text));
        let number = |text| u16::try_from(units::number(text)?).ok();
        Some(number(from)?..=number(to)?)
    };
    text.split(',').map(range).collect()
}

#[cfg(feature = "health-tls")]
fn tls(parameters: &CheckParameters<'_>) -> Result<CheckKind, ConfigError> {
    let check = lb_proxy::health::TlsCheck::new();
    let check = match parameters.get("sni=") {
        Some(name) => check.try_server_name(name),
        None => Ok(check),
    };
    check
        .map(CheckKind::Tls)
        .map_err(|error| parameters.statement.error(error))
}

#[cfg(not(feature = "health-tls"))]
fn tls(parameters: &CheckParameters<'_>) -> Result<CheckKind, ConfigError> {
    Err(parameters
        .statement
        .error(super::HealthCheckError::BuiltWithoutTls))
}
