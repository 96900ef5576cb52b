//! The subcommands that ask and steer a server.

mod close;
mod compare;
mod config;
mod explain;
mod log_level;
mod overrides;
mod parts;
mod sessions;
mod status;

use clap::Subcommand;
use tokio::runtime::Builder;

use super::error::{Exit, OperatorError};
use crate::console::print_line;
use crate::process::files::conf_path::ConfPath;

/// A subcommand that asks or steers a server.
#[derive(Debug, Subcommand)]
pub(crate) enum OperatorCommand {
    /// Closes the live sessions of a backend, or one session
    Close(close::CloseCommand),
    /// Finds the first difference of two replicas
    ///
    /// Compares what decides where connections go: the upstreams, their policies, the digests of hashing policies, and the
    /// backends with their weight, priority, limit, name and administrative state. Replicas with equal digests send every hash
    /// key to the same backend, as long as the same backends are healthy. Health and ejection are not compared, because each replica
    /// finds out about them for itself; where they differ a note says so.
    Compare(compare::CompareCommand),
    /// Prints the configuration that runs, with the file and the number of each line
    Config(config::ConfigCommand),
    /// Lets a backend get no new connections; open sessions go on
    Drain(overrides::DrainCommand),
    /// Shows where a client goes, and why each backend may or may not be chosen
    Explain(explain::ExplainCommand),
    /// Prints the level of the log, or sets it
    LogLevel(log_level::LogLevelCommand),
    /// Sets how many connections a backend may have
    MaxConns(overrides::MaxConnsCommand),
    /// Lets a backend get connections, also if its source says that it drains
    Ready(overrides::ReadyCommand),
    /// Lists live sessions
    Sessions(sessions::SessionsCommand),
    /// Shows what is wrong, the upstreams, their backends and sources
    ///
    /// The exit code is 1 if the server is not ready.
    Status(status::StatusCommand),
    /// Takes back `drain` and `ready`: what the source of the backend says is in force again
    Undrain(overrides::UndrainCommand),
    /// Sets the weight of a backend
    Weight(overrides::WeightCommand),
}

impl OperatorCommand {
    /// Runs the subcommand. `path` is the configuration that may have the address of the server.
    pub(crate) fn run(&self, path: &ConfPath) -> Exit {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(OperatorError::OperatorRuntime);
        let done = runtime.and_then(|runtime| runtime.block_on(self.answer(path)));
        done.unwrap_or_else(|error| {
            print_line(&error.to_string());
            error.exit()
        })
    }

    async fn answer(&self, path: &ConfPath) -> Result<Exit, OperatorError> {
        match self {
            Self::Close(command) => command.run(path).await,
            Self::Compare(command) => command.run().await,
            Self::Config(command) => command.run(path).await,
            Self::Drain(command) => command.run(path).await,
            Self::Explain(command) => command.run(path).await,
            Self::LogLevel(command) => command.run(path).await,
            Self::MaxConns(command) => command.run(path).await,
            Self::Ready(command) => command.run(path).await,
            Self::Sessions(command) => command.run(path).await,
            Self::Status(command) => command.run(path).await,
            Self::Undrain(command) => command.run(path).await,
            Self::Weight(command) => command.run(path).await,
        }
    }
}
