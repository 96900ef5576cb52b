//! The parameters of `health_check`.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::HealthCheckError;
use crate::syntax::error::ConfigError;
use crate::syntax::statement::Statement;
use crate::syntax::units;

/// The parameters of a `health_check` by name; a flag has an empty value.
pub(super) struct CheckParameters<'a> {
    pub(super) statement: &'a Statement,
    values: HashMap<&'a str, &'a str>,
}

const COMMON: &[&str] = &[
    "interval=",
    "jitter=",
    "fails=",
    "passes=",
    "port=",
    "type=",
    "fast_interval=",
    "down_interval=",
    "mandatory",
    "persistent",
];

impl<'a> CheckParameters<'a> {
    pub(super) fn read(statement: &'a Statement) -> Result<Self, ConfigError> {
        let mut values = HashMap::new();
        for text in statement.args() {
            let (name, value) = match text.split_once('=') {
                Some((name, _)) => text.split_at(name.len() + 1),
                None => (&**text, ""),
            };
            if name == "udp" {
                return Err(statement.refused_parameter("udp", "UDP is not balanced"));
            }
            if values.insert(name, value).is_some() {
                return Err(statement.invalid("parameter", text));
            }
        }
        Ok(Self { statement, values })
    }

    /// Refuses all parameters but the common ones and `own`, those of the type `kind`.
    pub(super) fn only(&self, kind: &str, own: &[&str]) -> Result<(), ConfigError> {
        const ALL: &[&str] = &[
            "match=", "send=", "expect=", "uri=", "host=", "status=", "sni=",
        ];
        for (name, value) in &self.values {
            if COMMON.contains(name) || own.contains(name) {
                continue;
            }
            if !ALL.contains(name) {
                return Err(self
                    .statement
                    .invalid("parameter", &format!("{name}{value}")));
            }
            let (parameter, kind) = (name.trim_end_matches('=').to_owned(), kind.to_owned());
            let error = HealthCheckError::WrongType { parameter, kind };
            return Err(self.statement.error(error));
        }
        Ok(())
    }

    /// The parameters that distinguish a check from others of its type, each behind a blank. The query of a URI may have a
    /// secret, and is left out.
    pub(super) fn distinction(&self) -> String {
        const NAMES: &[&str] = &["match=", "uri=", "host=", "sni=", "port="];
        let given = NAMES.iter().filter_map(|name| {
            let value = self.get(name)?;
            let value = value.split_once('?').map_or(value, |(path, _)| path);
            Some(format!(" {name}{value}"))
        });
        given.collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.values.get(name).copied()
    }

    /// A value that `parse` understands.
    pub(super) fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let invalid = || {
            self.statement
                .invalid("parameter", &format!("{name}{value}"))
        };
        parse(value).map(Some).ok_or_else(invalid)
    }

    pub(super) fn count(&self, name: &str) -> Result<NonZeroU32, ConfigError> {
        let count = |text: &str| NonZeroU32::new(u32::try_from(units::number(text)?).ok()?);
        Ok(self.parsed(name, count)?.unwrap_or(NonZeroU32::MIN))
    }

    pub(super) fn interval(&self, name: &str) -> Result<Option<Duration>, ConfigError> {
        let is_long = |time: &Duration| *time >= Duration::from_millis(10);
        self.parsed(name, |text| units::milliseconds(text).filter(is_long))
    }

    /// The port that `kind` cannot do without.
    pub(super) fn needed_port(
        &self,
        kind: &'static str,
        port: Option<u16>,
    ) -> Result<u16, ConfigError> {
        let missing = || self.statement.error(HealthCheckError::NoPort { kind });
        port.ok_or_else(missing)
    }
}
