//! The variable of a `geo`.

mod networks;
mod ranges;

use std::net::{IpAddr, Ipv4Addr};

use lb_core::Endpoint;

use super::buffer::Buffer;
use super::context::Context;
use super::id::VariableId;
use super::output::ValueOutput;
use super::table::{Definition, Traits};

pub(crate) use networks::{Cidr, Networks};
pub(crate) use ranges::Ranges;

/// What is looked up for a client without an address, as in nginx.
const NO_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::BROADCAST);

/// The variable of a `geo`: the text beside the network of an address.
#[derive(Debug)]
pub(crate) struct Geo {
    /// The variable that has the address; without one it is the client's.
    pub(crate) source: Option<VariableId>,
    pub(crate) table: GeoTable,
    pub(crate) is_volatile: bool,
}

/// The texts of a `geo`.
#[derive(Debug)]
pub(crate) enum GeoTable {
    Networks(Networks),
    Ranges(Ranges),
}

impl Geo {
    fn address(&self, context: &Context<'_>) -> IpAddr {
        let address = match self.source {
            None => match context.connection.client_endpoint() {
                Endpoint::Tcp(addr) => Some(addr.ip()),
                Endpoint::Unix(_) => None,
            },
            Some(id) => {
                let mut text = Buffer::new();
                let found = context.variable(id, &mut text);
                let text = found.and_then(|()| str::from_utf8(text.bytes()).ok());
                text.and_then(|text| text.parse().ok())
            }
        };
        address.map_or(NO_ADDRESS, |address: IpAddr| address.to_canonical())
    }
}

impl Definition for Geo {
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()> {
        let address = self.address(context);
        let text = match &self.table {
            GeoTable::Networks(networks) => networks.find(address),
            GeoTable::Ranges(ranges) => ranges.find(match address {
                IpAddr::V4(address) => address,
                IpAddr::V6(_) => Ipv4Addr::BROADCAST,
            }),
        };
        out.push(text.as_bytes());
        Some(())
    }

    fn variables(&self) -> Vec<VariableId> {
        self.source.into_iter().collect()
    }

    fn traits(&self) -> Traits {
        Traits {
            volatile: self.is_volatile,
            ..Traits::default()
        }
    }
}
