//! The end of the process by SIGQUIT, beside nginx's `worker_shutdown_timeout`: `lb_withdraw_delay`, `lb_withdraw_command`,
//! `lb_withdraw_timeout` and `lb_close_spread`, all ours.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::syntax::directive::Args::{AtLeast, Exactly};
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::include::ConfFiles;
use crate::syntax::span::{Span, Warning};
use crate::syntax::statement::Statement;

/// The longest `lb_withdraw_timeout`: a shutdown always ends.
const LONGEST: Duration = Duration::from_secs(3600);

/// `lb_withdraw_timeout` by default.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(10);

/// What a graceful shutdown waits for, and how it closes sessions.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct ShutdownSettings {
    /// `lb_withdraw_delay`: how long it goes on accepting after the server is no longer ready, 0 by default.
    pub(crate) withdraw_delay: Duration,
    /// `lb_withdraw_command`: it goes on accepting until this has ended, too.
    pub(crate) withdraw_command: Option<WithdrawCommand>,
    /// `lb_close_spread`: the time over which it resets sessions that outlast `worker_shutdown_timeout`, 0 by default.
    pub(crate) close_spread: Duration,
}

/// `lb_withdraw_command`: a command that ends when no new connections are sent to this machine any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct WithdrawCommand {
    /// A path, or a name that is searched for in `PATH`.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// `lb_withdraw_timeout`: it is killed after this time.
    pub(crate) timeout: Duration,
    pub(crate) span: Span,
}

/// The directives as written.
#[derive(Debug, Default)]
pub(crate) struct ShutdownBlock {
    withdraw_delay: Option<Duration>,
    withdraw_command: Option<WithdrawCommand>,
    withdraw_timeout: Option<(Duration, Span)>,
    close_spread: Option<Duration>,
}

#[derive(Debug, thiserror::Error)]
enum ShutdownError {
    #[error("invalid time \"{0}\" in \"lb_withdraw_timeout\": it is at least 1ms and at most 1h")]
    Timeout(String),
}

impl<B: Has<ShutdownBlock>> Directive<B> {
    pub(crate) const SHUTDOWN: &'static [Self] = &[
        Self::simple("lb_close_spread", Exactly(1), |block, statement, _| {
            statement.once(&mut block.part().close_spread, Statement::milliseconds)
        }),
        Self::simple(
            "lb_withdraw_command",
            AtLeast(1),
            |block, statement, reader| {
                statement.once(&mut block.part().withdraw_command, |statement| {
                    command(statement, reader.files())
                })
            },
        ),
        Self::simple("lb_withdraw_delay", Exactly(1), |block, statement, _| {
            statement.once(&mut block.part().withdraw_delay, Statement::milliseconds)
        }),
        Self::simple("lb_withdraw_timeout", Exactly(1), |block, statement, _| {
            statement.once(&mut block.part().withdraw_timeout, withdraw_timeout)
        }),
    ];
}

impl ShutdownBlock {
    /// Applies the defaults.
    pub(super) fn resolve(self, warnings: &mut Vec<Warning>) -> ShutdownSettings {
        let mut withdraw_command = self.withdraw_command;
        match (&mut withdraw_command, self.withdraw_timeout) {
            (Some(command), Some((timeout, _))) => command.timeout = timeout,
            (None, Some((_, span))) => warnings.push(Warning::new(
                "\"lb_withdraw_timeout\" has no effect without \"lb_withdraw_command\"".to_owned(),
                span,
            )),
            (_, None) => {}
        }
        ShutdownSettings {
            withdraw_delay: self.withdraw_delay.unwrap_or_default(),
            withdraw_command,
            close_spread: self.close_spread.unwrap_or_default(),
        }
    }
}

fn command(statement: &Statement, files: &ConfFiles) -> Result<WithdrawCommand, ConfigError> {
    let program = match statement.arg() {
        "" => return Err(statement.invalid_value()),
        path if path.contains('/') => files.resolve(path),
        name => name.into(),
    };
    Ok(WithdrawCommand {
        program,
        arguments: statement.parameters().map(OsString::from).collect(),
        timeout: WITHDRAW_TIMEOUT,
        span: statement.span.clone(),
    })
}

fn withdraw_timeout(statement: &Statement) -> Result<(Duration, Span), ConfigError> {
    let timeout = statement.milliseconds()?;
    if timeout.is_zero() || timeout > LONGEST {
        return Err(statement.error(ShutdownError::Timeout(statement.arg().to_owned())));
    }
    Ok((timeout, statement.span.clone()))
}
