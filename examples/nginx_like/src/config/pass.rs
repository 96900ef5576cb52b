//! `pass`: the listener that takes a connection over.

use std::net::SocketAddr;

use lb_core::Endpoint;

use crate::syntax::address::{Address, AddressError, Host};
use crate::syntax::error::ConfigError;
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::value::Value;

/// The listener that `pass` names.
#[derive(Clone, Debug)]
pub(crate) enum PassTo {
    /// The address, or the key of the path of a unix domain socket.
    Addr(SocketAddr),
    Value(Value),
}

/// Why no listener can be meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PassError {
    Address(AddressError),
    NoAddress,
    NoPort,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum PassDirectiveError {
    #[error("{reason} in \"{url}\" of the \"pass\" directive")]
    Address { reason: AddressError, url: String },
    #[error("\"pass\" directive has no addresses")]
    NoAddress,
    #[error("\"pass\" directive has no port")]
    NoPort,
}

impl PassTo {
    pub(crate) fn read(
        statement: &Statement,
        reader: &mut Reader<'_>,
    ) -> Result<Self, ConfigError> {
        let value = Value::compile(statement, statement.arg(), reader)?;
        let Some(text) = value.literal() else {
            return Ok(Self::Value(value));
        };
        let addr = Self::parse(text).map_err(|error| {
            statement.error(match error {
                PassError::Address(reason) => PassDirectiveError::Address {
                    reason,
                    url: text.to_owned(),
                },
                PassError::NoAddress => PassDirectiveError::NoAddress,
                PassError::NoPort => PassDirectiveError::NoPort,
            })
        })?;
        Ok(Self::Addr(addr))
    }

    /// Parses an address as nginx does: a name is not looked up.
    pub(crate) fn parse(text: &str) -> Result<SocketAddr, PassError> {
        let address = Address::parse(text).map_err(PassError::Address)?;
        match (address.host(), address.port) {
            (Ok(Host::Ip(ip)), Some(port)) => Ok((ip, port).into()),
            (Ok(Host::Ip(_)), None) => Err(PassError::NoPort),
            (Ok(Host::Unix(path)), _) => Ok(Endpoint::unix_key(&path)),
            _ => Err(PassError::NoAddress),
        }
    }
}
