//! `hash`, `least_conn`, `least_time` and `random`.

use crate::syntax::directive::Args::{Between, Exactly};
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::value::Value;

/// A load balancing method.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Method {
    /// The default: in turn, by weight.
    RoundRobin,
    /// `hash`: by a key of the connection.
    Hash {
        key: Value,
        /// `consistent`: on a ketama ring, so that few keys move when the servers change.
        consistent: bool,
    },
    /// `least_conn`: the fewest connections for its weight.
    LeastConn,
    /// `least_time`: the shortest expected time, for its connections and weight.
    LeastTime {
        time: ExpectedTime,
        /// `inflight`: attempts that have not reached that time count with their age.
        in_flight: bool,
    },
    /// `random`: at random, by weight.
    Random,
    /// `random two` or `random two least_conn`: the better of two random ones.
    RandomTwo,
}

/// The time that `least_time` expects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ExpectedTime {
    /// `connect`
    Connect,
    /// `first_byte`
    FirstByte,
    /// `last_byte`: until the end of the session.
    LastByte,
}

impl<B: Has<Option<Method>>> Directive<B> {
    pub(crate) const METHODS: &'static [Self] = &[
        Self::simple("hash", Between(1, 2), |block, statement, reader| {
            set(block.part(), hash(statement, reader)?, statement, reader);
            Ok(())
        }),
        Self::simple("least_conn", Exactly(0), |block, statement, reader| {
            set(block.part(), Method::LeastConn, statement, reader);
            Ok(())
        }),
        Self::simple("least_time", Between(1, 2), |block, statement, reader| {
            // As in nginx, which takes the last one of other methods.
            if let Some(Method::LeastTime { .. }) = block.part() {
                return Err(statement.duplicate());
            }
            set(block.part(), least_time(statement)?, statement, reader);
            Ok(())
        }),
        Self::simple("random", Between(0, 2), |block, statement, reader| {
            set(block.part(), random(statement)?, statement, reader);
            Ok(())
        }),
    ];
}

impl Method {
    /// Whether servers may have `backup` and, as in NGINX Plus, `slow_start`.
    pub(crate) const fn takes_backups_and_slow_start(&self) -> bool {
        match self {
            Self::RoundRobin | Self::LeastConn | Self::LeastTime { .. } => true,
            Self::Hash { .. } | Self::Random | Self::RandomTwo => false,
        }
    }
}

/// The last method counts, as in nginx.
fn set(slot: &mut Option<Method>, new: Method, statement: &Statement, reader: &mut Reader<'_>) {
    if slot.replace(new).is_some() {
        reader.warn(statement, "load balancing method redefined");
    }
}

fn hash(statement: &Statement, reader: &mut Reader<'_>) -> Result<Method, ConfigError> {
    let key = Value::compile(statement, statement.arg(), reader)?;
    let consistent = match statement.parameters().next() {
        None => false,
        Some("consistent") => true,
        Some(other) => return Err(statement.invalid("parameter", other)),
    };
    Ok(Method::Hash { key, consistent })
}

fn least_time(statement: &Statement) -> Result<Method, ConfigError> {
    // nginx checks the second argument before the first.
    let in_flight = match statement.parameters().next() {
        None => false,
        Some("inflight") => true,
        Some(other) => return Err(statement.invalid("parameter", other)),
    };
    let time = match statement.arg() {
        "connect" => ExpectedTime::Connect,
        "first_byte" => ExpectedTime::FirstByte,
        "last_byte" => ExpectedTime::LastByte,
        other => return Err(statement.invalid("value", other)),
    };
    Ok(Method::LeastTime { time, in_flight })
}

fn random(statement: &Statement) -> Result<Method, ConfigError> {
    let mut parameters = statement.args().iter().map(String::as_str);
    let method = match parameters.next() {
        None => return Ok(Method::Random),
        Some("two") => Method::RandomTwo,
        Some(other) => return Err(statement.invalid("parameter", other)),
    };
    match parameters.next() {
        None | Some("least_conn") => Ok(method),
        Some(other) if other.starts_with("least_time") => {
            let instead = "use \"random two least_conn\", or the \"least_time\" directive";
            Err(statement.refused_parameter(other, instead))
        }
        Some(other) => Err(statement.invalid("parameter", other)),
    }
}
