//! The `events` block.

use std::num::NonZeroU32;

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Block, Directive};
use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;
use crate::syntax::units;

#[derive(Debug, Default)]
pub(crate) struct EventsBlock {
    pub(crate) worker_connections: Option<NonZeroU32>,
    accept_mutex: Option<bool>,
    multi_accept: Option<bool>,
    method: Option<()>,
}

impl Block for EventsBlock {
    const DIRECTIVES: &'static [Directive<Self>] = &[
        Directive::simple("accept_mutex", Exactly(1), |events, statement, reader| {
            reader.warn_no_effect(statement);
            statement.once(&mut events.accept_mutex, Statement::flag)
        }),
        Directive::simple("multi_accept", Exactly(1), |events, statement, reader| {
            reader.warn_no_effect(statement);
            statement.once(&mut events.multi_accept, Statement::flag)
        }),
        Directive::simple("use", Exactly(1), |events, statement, _| {
            statement.once(&mut events.method, method)
        }),
        Directive::simple("worker_connections", Exactly(1), |events, statement, _| {
            statement.once(&mut events.worker_connections, worker_connections)
        }),
        Directive::without_effect("accept_mutex_delay", Exactly(1)),
        Directive::without_effect("debug_connection", Exactly(1)),
        Directive::without_effect("epoll_events", Exactly(1)),
        Directive::without_effect("worker_aio_requests", Exactly(1)),
    ];
}

/// Accepts the one method there is.
fn method(statement: &Statement) -> Result<(), ConfigError> {
    match statement.arg() {
        "epoll" => Ok(()),
        _ => Err(statement.invalid("event type", statement.arg())),
    }
}

fn worker_connections(statement: &Statement) -> Result<NonZeroU32, ConfigError> {
    let number = units::number(statement.arg()).and_then(|number| u32::try_from(number).ok());
    number
        .and_then(NonZeroU32::new)
        .ok_or_else(|| statement.invalid("number", statement.arg()))
}
