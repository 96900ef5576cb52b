//! `compare`.

use std::fmt::Write;

use clap::Args;
use lb_core::Escaped;
use lb_proxy::admin::status::Status;

use super::parts::read_status;
use crate::operator::client::AdminClient;
use crate::operator::error::{Exit, OperatorError};
use crate::operator::output;
use crate::operator::replicas::{first_difference, notes};
use crate::operator::server_options::TimeoutOption;
use crate::operator::target::Target;
use crate::operator::units::plural;

/// `compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareCommand {
    /// The admin server of one replica: unix:PATH, ADDRESS:PORT or http://HOST:PORT
    #[arg(value_name = "URL")]
    first: Target,

    /// The admin server of the other replica
    #[arg(value_name = "URL")]
    second: Target,

    #[command(flatten)]
    timing: TimeoutOption,
}

impl CompareCommand {
    /// Not as asked if the replicas differ.
    pub(super) async fn run(&self) -> Result<Exit, OperatorError> {
        let (a, b) = tokio::join!(self.status(&self.first), self.status(&self.second));
        let (a, b) = (a?, b?);
        let difference = first_difference(&a, &b);
        let mut text = match &difference {
            Some(difference) => format!("differ: {}\n", Escaped(difference)),
            None => format!("alike: {}\n", extent(&a)),
        };
        let _ = write!(text, "A is {}\nB is {}\n", self.first, self.second);
        for note in notes(&a, &b) {
            let _ = writeln!(text, "note: {}", Escaped(note));
        }
        output::print(&text)?;
        Ok(match difference {
            Some(_) => Exit::NotAsAsked,
            None => Exit::Success,
        })
    }

    async fn status(&self, target: &Target) -> Result<Status, OperatorError> {
        let client = AdminClient::new(target.clone(), self.timing.timeout);
        read_status(&client.get("/status.json", &[]).await?)
    }
}

/// How much is alike.
fn extent(status: &Status) -> String {
    let upstreams = status.upstreams.iter();
    let backends = upstreams.clone().map(|upstream| upstream.backends.len());
    let hashing = upstreams.filter(|upstream| {
        let mut tiers = upstream.tiers.iter();
        tiers.any(|tier| tier.digest.is_some())
    });
    format!(
        "{} with {}, equal digests of {}",
        plural(status.upstreams.len(), "upstream"),
        plural(backends.sum(), "backend"),
        plural(hashing.count(), "hashing upstream"),
    )
}
