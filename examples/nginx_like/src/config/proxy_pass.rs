//! `proxy_pass`: where a server sends its connections.

use super::upstream::error::UpstreamError;
use crate::syntax::address::{Address, AddressError};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;
use crate::variables::value::Value;

/// The argument of `proxy_pass`.
#[derive(Debug)]
pub(crate) enum ProxyPass {
    Target(PassTarget),
    /// A text with variables.
    Value {
        value: Value,
        /// The name of the variable, in small letters, if the text is one alone.
        variable: Option<String>,
    },
}

/// The name of an upstream, or one host and port.
#[derive(Clone, Debug)]
pub(crate) struct PassTarget {
    pub(crate) url: String,
    pub(crate) address: Address,
    pub(crate) span: Span,
}

impl ProxyPass {
    pub(crate) fn read(
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let text = statement.arg();
        let value = Value::compile(statement, text, reader)?;
        if value.literal().is_some() {
            return Ok(Self::Target(PassTarget::parse(text, &statement.span)?));
        }
        let name = text.strip_prefix('$').unwrap_or_default();
        let name = name
            .strip_prefix('{')
            .map_or(name, |name| name.trim_end_matches('}'));
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_alone = value.parts().len() == 1 && is_name(name);
        Ok(Self::Value {
            value,
            variable: is_alone.then(|| name.to_ascii_lowercase()),
        })
    }
}

impl PassTarget {
    /// Reads `url`, which is at `span`.
    pub(crate) fn parse(url: &str, span: &Span) -> Result<Self, ConfigError> {
        let url = url.to_owned();
        match Address::parse(&url) {
            Ok(address) => Ok(Self {
                url,
                address,
                span: span.clone(),
            }),
            Err(reason) => Err(ConfigError::at(
                span,
                UpstreamError::Address { reason, url },
            )),
        }
    }

    pub(crate) fn error(&self, error: UpstreamError) -> ConfigError {
        ConfigError::at(&self.span, error)
    }

    pub(crate) fn address_error(&self, reason: AddressError) -> ConfigError {
        let url = self.url.clone();
        self.error(UpstreamError::Address { reason, url })
    }
}
