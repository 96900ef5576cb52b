//! The `events` block.

use std::num::NonZeroU32;

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Line, Scope};
use crate::syntax::error::ConfigError;
use crate::syntax::units;

#[derive(Debug, Default)]
pub(crate) struct EventsBlock {
    pub(crate) worker_connections: Option<NonZeroU32>,
    accept_mutex: Option<bool>,
    multi_accept: Option<bool>,
    method: Option<()>,
}

const EVENTS: &[Directive<EventsBlock>] = &[
    Directive::simple("accept_mutex", Exactly(1), |events, line, reader| {
        reader.warn_no_effect(line);
        line.once(&mut events.accept_mutex, Line::flag)
    }),
    Directive::simple("multi_accept", Exactly(1), |events, line, reader| {
        reader.warn_no_effect(line);
        line.once(&mut events.multi_accept, Line::flag)
    }),
    Directive::simple("use", Exactly(1), |events, line, _| {
        line.once(&mut events.method, method)
    }),
    Directive::simple("worker_connections", Exactly(1), |events, line, _| {
        line.once(&mut events.worker_connections, worker_connections)
    }),
    Directive::without_effect("accept_mutex_delay", Exactly(1)),
    Directive::without_effect("worker_aio_requests", Exactly(1)),
];

impl Scope for EventsBlock {
    const DIRECTIVES: &'static [&'static [Directive<Self>]] = &[EVENTS];
}

/// Accepts the one method there is.
fn method(line: &Line) -> Result<(), ConfigError> {
    match line.arg() {
        "epoll" => Ok(()),
        _ => Err(line.invalid("event type", line.arg())),
    }
}

fn worker_connections(line: &Line) -> Result<NonZeroU32, ConfigError> {
    let number = units::number(line.arg()).and_then(|number| u32::try_from(number).ok());
    number
        .and_then(NonZeroU32::new)
        .ok_or_else(|| line.invalid("number", line.arg()))
}
