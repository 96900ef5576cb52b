//! The check that asks an agent beside the backend: HAProxy's agent-check.

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;

use super::agent_line::parse;
use super::check::{CheckReport, HealthCheck, ReportedHealth};
use super::error::CheckError;
use super::probe::Probe;
use crate::backend_override::OverrideOrigin;

/// How long the line of an agent may be.
const MAX_LINE: usize = 4096;

/// Asks an agent for the weight and the state of its backend, in one line of text.
///
/// The agent listens on a port of its own, answers each connection with one line and closes it. The words of the line, in any
/// order and case, separated by blanks or commas:
///
/// | word | effect |
/// |---|---|
/// | `up` | the probe passes |
/// | `down`, `stopped`, `fail` | the probe fails |
/// | `75%` | the weight is so many percent of what the source reports; `0%` drains |
/// | `maxconn:30` | the backend's `max_conns`; 0 for no limit |
/// | `drain`, `maint` | no new sessions |
/// | `ready` | ends `drain` and `maint` |
/// | `# text` | shown as reason, up to the end of the line |
///
/// A percentage of a weight is rounded up: that of a weight of 1 has no effect, so give backends with agents weights such as
/// 100. That is logged, at most once a minute.
///
/// What the line leaves out stays as it was. An agent that does not answer, or says nothing that is known, changes
/// nothing, and is logged at most once a minute: another check finds out whether the backend works, and runs beside this one. The meaning is HAProxy's, but for
/// two things. `maint` does not stop other checks. `ready` leaves a drain of the source, such as that of a terminating pod,
/// in force.
#[derive(Clone, Debug)]
#[must_use]
#[doc(alias = "agent-check", alias = "agent-port", alias = "agent-send")]
pub struct AgentCheck {
    port: u16,
    send: Box<[u8]>,
}

impl AgentCheck {
    /// Asks at `port` of each backend's address.
    pub fn new(port: u16) -> Self {
        Self {
            port,
            send: [].into(),
        }
    }

    /// Sets what is sent to the agent first. Default: nothing.
    pub fn send(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.send = bytes.as_ref().into();
        self
    }

    async fn ask(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        let mut stream = probe.at_port(self.port).connect().await?;
        stream.write_all(&self.send).await?;
        let mut answer = Vec::new();
        let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
        let line = stream.read_until(&mut answer, MAX_LINE, |answer| {
            answer.iter().position(is_end)
        });
        let end = line.await?.unwrap_or(answer.len());
        let report = parse(&answer[..end]);
        let states_nothing = report.health == ReportedHealth::Unstated
            && (report.weight, report.max_conns, report.admin) == (None, None, None);
        match states_nothing {
            // Another service may have the port.
            true => Err(CheckError::Inconclusive(silence(&report))),
            false => Ok(report),
        }
    }
}

#[async_trait]
impl HealthCheck for AgentCheck {
    fn name(&self) -> &str {
        "agent"
    }

    fn override_origin(&self) -> OverrideOrigin {
        OverrideOrigin::AgentCheck
    }

    fn counts_timeouts(&self) -> bool {
        false
    }

    async fn check(&self, probe: &Probe<'_>) -> Result<CheckReport, CheckError> {
        match self.ask(probe).await {
            Err(error @ (CheckError::Inconclusive(_) | CheckError::Local(_))) => Err(error),
            Err(error) => {
                let text = format!("no answer of the agent: {error}");
                Err(CheckError::Inconclusive(text.into()))
            }
            answer => answer,
        }
    }
}

/// What is said of a line without a known word.
fn silence(report: &CheckReport) -> Box<str> {
    match report.text.as_deref() {
        None | Some("") => "the agent said nothing".into(),
        Some(text) => text.into(),
    }
}
