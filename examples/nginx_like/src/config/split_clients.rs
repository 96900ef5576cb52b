//! `split_clients`.

use std::sync::Arc;

use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Directive, Has};
use crate::syntax::error::ConfigError;
use crate::syntax::lines::{Lines, TakeLine};
use crate::syntax::reader::Reader;
use crate::syntax::statement::Statement;
use crate::syntax::units;
use crate::variables::definitions::Definitions;
use crate::variables::split::Split;
use crate::variables::value::Value;

/// A `split_clients` block as it is read: shares in hundredths of a percent, and their texts.
#[derive(Debug, Default)]
struct SplitBlock(Vec<(Option<u32>, Box<str>)>);

/// Worded as in nginx.
#[derive(Debug, thiserror::Error)]
enum SplitError {
    #[error("invalid number of the split_clients parameters")]
    Arity,
    #[error("invalid percent value \"{text}\"")]
    Percent { text: String },
    #[error("percent total is greater than 100%")]
    Total,
}

impl<B: Has<Definitions>> Directive<B> {
    pub(crate) const SPLIT_CLIENTS: Self =
        Self::block("split_clients", Exactly(2), |block, statement, reader| {
            read(block.part(), statement, reader)
        });
}

/// Reads a block and adds its variable.
fn read(
    definitions: &mut Definitions,
    statement: &Statement,
    reader: &mut Reader<'_>,
) -> Result<(), ConfigError> {
    let value = Value::compile(statement, statement.arg(), reader)?;
    let variable = statement.parameters().next().unwrap_or_default();
    let name = Definitions::name(statement, variable)?;
    let Lines(SplitBlock(parts)) = reader.read_block(Lines(SplitBlock::default()))?;
    let split = Split::new(value, parts);
    let split = split.ok_or_else(|| ConfigError::at(&reader.here(), SplitError::Total))?;
    definitions.define(name, Arc::new(split));
    Ok(())
}

impl TakeLine for SplitBlock {
    fn take(&mut self, statement: &Statement, _: &mut Reader<'_>) -> Result<(), ConfigError> {
        let [text] = statement.args() else {
            return Err(statement.error(SplitError::Arity));
        };
        let share = match statement.name() {
            "*" => None,
            share => Some(hundredths(share).ok_or_else(|| {
                let text = share.to_owned();
                statement.error(SplitError::Percent { text })
            })?),
        };
        self.0.push((share, text.as_str().into()));
        Ok(())
    }
}

/// A percentage above 0 with at most two decimals, in hundredths of a percent.
fn hundredths(text: &str) -> Option<u32> {
    let text = text.strip_suffix('%')?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 2 {
        return None;
    }
    let digits = units::number(&format!("{whole}{decimals:0<2}"))?;
    u32::try_from(digits).ok().filter(|share| *share > 0)
}

#[cfg(test)]
mod tests {
    use super::hundredths;

    #[test]
    fn percentages_have_two_decimals() {
        for (text, expected) in [
            ("1%", Some(100)),
            ("0.5%", Some(50)),
            (".25%", Some(25)),
            ("12.34%", Some(1234)),
            ("3.%", Some(300)),
            ("0%", None),
            ("0.001%", None),
            ("%", None),
            ("1", None),
            ("-1%", None),
            ("1.2.3%", None),
            ("", None),
        ] {
            assert_eq!(hundredths(text), expected, "{text}");
        }
    }
}
