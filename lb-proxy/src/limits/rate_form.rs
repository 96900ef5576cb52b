//! Rates of connections in files of settings.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use lb_core::serde_form::{format_duration, parse_duration};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::rate::Rate;

/// Connections in a time, such as `100/s` or `10/5m`, and what may come at once.
#[derive(serde::Deserialize, serde::Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "RateWithBurst"))]
#[serde(deny_unknown_fields)]
struct RateForm {
    /// The rate, such as `100/s`.
    rate: Spaced,
    /// How many connections may come at once after a pause. Default: those of the rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    burst: Option<NonZeroU32>,
}

/// The rate as text, or with its burst.
impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rate = Spaced::of(*self);
        match Self::from(rate) == *self {
            true => rate.serialize(serializer),
            false => RateForm {
                rate,
                burst: NonZeroU32::new(self.burst_size()),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RateVisitor;
        impl<'de> Visitor<'de> for RateVisitor {
            type Value = Rate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a rate such as 100/s, alone or with its burst")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate, E> {
                Spaced::parse(text).map(Rate::from)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Rate, A::Error> {
                let form = RateForm::deserialize(MapAccessDeserializer::new(map))?;
                let rate = Rate::from(form.rate);
                Ok(form.burst.map_or(rate, |burst| rate.burst(burst.get())))
            }
        }
        deserializer.deserialize_any(RateVisitor)
    }
}

/// So many connections in a time.
#[derive(Clone, Copy)]
struct Spaced(u32, Duration);

impl From<Spaced> for Rate {
    fn from(Spaced(connections, period): Spaced) -> Self {
        Self::new(connections, period)
    }
}

impl Spaced {
    /// What means `rate` with its burst, if that is a time that people write, else with another burst.
    fn of(rate: Rate) -> Self {
        let interval = rate.interval();
        let in_unit = [1, 60, 3600].map(Duration::from_secs).into_iter();
        let mut in_unit = in_unit.filter_map(|period| {
            let number = period.as_nanos().checked_div(interval.as_nanos())?;
            let number = u32::try_from(number).ok().filter(|number| *number > 0);
            let spaced = Self(number?, period);
            (Rate::from(spaced).interval() == interval).then_some(spaced)
        });
        let in_unit = in_unit.next();
        let burst = rate.burst_size();
        let of_burst = interval.checked_mul(burst);
        let of_burst = of_burst.map(|period| Self(burst, period));
        let is_plain = |Self(number, period): &Self| *number == 1 || period.subsec_nanos() == 0;
        in_unit
            .filter(|spaced| Rate::from(*spaced) == rate)
            .or_else(|| of_burst.filter(is_plain))
            .or(in_unit)
            .unwrap_or(Self(1, interval))
    }

    fn parse<E: Error>(text: &str) -> Result<Self, E> {
        let parsed = text.split_once('/').and_then(|(number, period)| {
            let number: NonZeroU32 = number.trim().parse().ok()?;
            let period = period.trim();
            let one = period.starts_with(|c: char| !c.is_ascii_digit());
            let period = match one {
                true => parse_duration(&format!("1{period}")),
                false => parse_duration(period),
            };
            Some(Self(
                number.get(),
                period.ok().filter(|period| !period.is_zero())?,
            ))
        });
        let expected = &"connections in a time, such as 100/s or 10/5m";
        parsed.ok_or_else(|| E::invalid_value(Unexpected::Str(text), expected))
    }
}

impl Serialize for Spaced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(number, period) = self;
        let period = match period.as_secs() {
            1 if period.subsec_nanos() == 0 => "s".to_owned(),
            60 if period.subsec_nanos() == 0 => "m".to_owned(),
            3600 if period.subsec_nanos() == 0 => "h".to_owned(),
            _ => format_duration(*period),
        };
        serializer.collect_str(&format_args!("{number}/{period}"))
    }
}

impl<'de> Deserialize<'de> for Spaced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{Rate, RateForm, Spaced};

    impl JsonSchema for Spaced {
        fn schema_name() -> Cow<'static, str> {
            "ConnectionsInTime".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "Connections in a time, such as \"100/s\" or \"10/5m\".",
                "type": "string",
                "pattern": r"^\s*[0-9]+\s*/.+$",
            })
        }
    }

    impl JsonSchema for Rate {
        fn schema_name() -> Cow<'static, str> {
            "Rate".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            let text = generator.subschema_for::<Spaced>();
            let form = generator.subschema_for::<RateForm>();
            json_schema!({ "anyOf": [text, form] })
        }
    }
}
