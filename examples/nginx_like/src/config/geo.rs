//! `geo`.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::low_bits::warn_low_bits_of;
use crate::syntax::directive::Args::Between;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::lines::{Lines, TakeLine};
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::variables::definitions::Definitions;
use crate::variables::error::VariableError;
use crate::variables::geo::{Cidr, Geo, GeoTable, Networks, Ranges};
use crate::variables::id::VariableId;

/// A `geo` block as it is read.
#[derive(Debug)]
struct GeoBlock {
    table: GeoTable,
    is_volatile: bool,
}

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum GeoError {
    #[error("invalid number of the geo parameters")]
    Arity,
    #[error("invalid network \"{text}\"")]
    Network { text: String },
    #[error("range \"{text}\" overlaps \"{start}-{end}\"")]
    Overlap {
        text: String,
        start: Ipv4Addr,
        end: Ipv4Addr,
    },
    #[error("invalid range \"{text}\"")]
    Range { text: String },
    #[error("the \"ranges\" directive must be the first directive inside \"geo\" block")]
    RangesFirst,
}

impl<B: Has<Definitions>> Directive<B> {
    pub(crate) const GEO: Self = Self::block("geo", Between(1, 2), |block, statement, reader| {
        read(block.part(), statement, reader)
    });
}

/// Reads a block and adds its variable.
fn read(
    definitions: &mut Definitions,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let (source, variable) = match statement.args() {
        [source, variable] => {
            let name = source.strip_prefix('$').filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| {
                let text = source.clone();
                statement.error(VariableError::InvalidNameText { text })
            })?;
            (
                Some(VariableId::of(name, statement, reader)),
                variable.as_str(),
            )
        }
        _ => (None, statement.arg()),
    };
    let name = Definitions::name(statement, variable)?;
    let Lines(GeoBlock { table, is_volatile }) = reader.read_block(Lines(GeoBlock {
        table: GeoTable::Networks(Networks::default()),
        is_volatile: false,
    }))?;
    let geo = Geo {
        source,
        table,
        is_volatile,
    };
    definitions.define(name, Arc::new(geo));
    Ok(())
}

impl TakeLine for GeoBlock {
    fn take(&mut self, statement: &Statement, reader: &mut Reader<'_>) -> Result<(), ConfigError> {
        match (statement.name(), statement.args()) {
            ("ranges", []) => match &self.table {
                GeoTable::Networks(networks) if !networks.is_empty() => {
                    return Err(statement.error(GeoError::RangesFirst));
                }
                GeoTable::Networks(_) => self.table = GeoTable::Ranges(Ranges::default()),
                GeoTable::Ranges(_) => {}
            },
            ("volatile", []) => self.is_volatile = true,
            (key, [text]) => {
                return match &mut self.table {
                    GeoTable::Networks(networks) => {
                        add_network(networks, key, text, statement, reader)
                    }
                    GeoTable::Ranges(ranges) => add_range(ranges, key, text, statement, reader),
                };
            }
            _ => return Err(statement.error(GeoError::Arity)),
        }
        Ok(())
    }
}

/// Reads a line of a block without `ranges`. As in nginx, what is deleted or set again is a warning.
fn add_network(
    networks: &mut Networks,
    key: &str,
    text: &str,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let before = if key == "default" {
        networks.set_default(&text.into())
    } else if key == "delete" {
        if !networks.remove(network(text, statement, reader)?) {
            reader.warn(statement, format!("no network \"{text}\" to delete"));
        }
        None
    } else {
        let network = network(key, statement, reader)?;
        networks.insert(network, text.into())
    };
    if let Some(old) = before {
        let what = format!("duplicate network \"{key}\", value: \"{text}\", old value: \"{old}\"");
        reader.warn(statement, what);
    }
    Ok(())
}

fn network(
    text: &str,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<Cidr, ConfigError> {
    let network: Cidr = text.parse().map_err(|()| {
        let text = text.to_owned();
        statement.error(GeoError::Network { text })
    })?;
    warn_low_bits_of(network, text, statement, reader);
    Ok(network)
}

/// Reads a line of a block with `ranges`.
fn add_range(
    ranges: &mut Ranges,
    key: &str,
    text: &str,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let mut warn = |message: String| reader.warn(statement, message);
    if key == "default" {
        if let Some(old) = ranges.default.replace(text.into()) {
            warn(format!(
                "duplicate default geo range value: \"{text}\", old value: \"{old}\""
            ));
        }
        return Ok(());
    }
    let is_deleted = key == "delete";
    let written = if is_deleted { text } else { key };
    let error = |error| Err(statement.error(error));
    let Some((start, end)) = range(written) else {
        let text = written.to_owned();
        return error(GeoError::Range { text });
    };
    if is_deleted {
        if !ranges.remove(start, end) {
            warn(format!("no address range \"{written}\" to delete"));
        }
        return Ok(());
    }
    match ranges.insert(start, end, &text.into()) {
        Ok(replaced) => {
            for old in replaced {
                warn(format!(
                    "duplicate range \"{key}\", value: \"{text}\", old value: \"{old}\""
                ));
            }
            Ok(())
        }
        Err(overlap) => error(GeoError::Overlap {
            text: key.to_owned(),
            start: overlap.start,
            end: overlap.end,
        }),
    }
}

/// As in nginx, the last address of all is no end of a range.
fn range(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (start, end) = text.split_once('-')?;
    let [start, end]: [Ipv4Addr; 2] = [start.parse().ok()?, end.parse().ok()?];
    (start <= end && !end.is_broadcast()).then_some((start, end))
}
