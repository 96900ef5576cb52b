//! `proxy_pass`: where a server sends its connections.

use super::upstream::error::UpstreamError;
use crate::syntax::address::{Address, AddressError};
use crate::syntax::error::ConfigError;
use crate::syntax::span::Span;
use crate::syntax::statement::Statement;

/// The argument of `proxy_pass`.
#[derive(Debug)]
pub(crate) enum ProxyPass {
    /// The variable of a map, without `$` and in small letters.
    Variable(String, Span),
    Target(PassTarget),
}

/// The name of an upstream, or one host and port.
#[derive(Clone, Debug)]
pub(crate) struct PassTarget {
    pub(crate) url: String,
    pub(crate) address: Address,
    pub(crate) span: Span,
}

impl ProxyPass {
    pub(crate) fn read(statement: &Statement) -> Result<Self, ConfigError> {
        let variable = statement.arg().strip_prefix('$');
        let is_name = |name: &&str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        match variable.filter(|name| !name.is_empty()).filter(is_name) {
            Some(name) => {
                let name = name.to_ascii_lowercase();
                Ok(Self::Variable(name, statement.span.clone()))
            }
            None => Ok(Self::Target(PassTarget::parse(
                statement.arg(),
                &statement.span,
            )?)),
        }
    }
}

impl PassTarget {
    /// Reads `url`, which stands at `span`.
    pub(crate) fn parse(url: &str, span: &Span) -> Result<Self, ConfigError> {
        let url = url.to_owned();
        let address = if url.contains('$') {
            Err(AddressError::Variable)
        } else {
            Address::parse(&url)
        };
        match address {
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
