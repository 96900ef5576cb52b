//! Sizes and rates of bytes in files of settings: `64KiB`, `10MiB/s`.

use std::fmt;

use lb_core::serde_form::Switch;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

/// The units, the largest of each kind first. Those of 1024 are written.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1000),
];

/// A number of bytes: a number, or text with a unit, such as `64KiB`.
#[derive(Debug)]
pub(crate) struct ByteSize;

impl ByteSize {
    pub(crate) fn serialize<S: Serializer>(
        bytes: &usize,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&WithUnit(*bytes as u64, ""))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<usize, D::Error> {
        ByteNumber::<false>::deserialize(deserializer)?.number()
    }
}

/// The same, or `false` for `None`.
#[derive(Debug)]
pub(crate) struct OptionalByteSize;

impl OptionalByteSize {
    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<usize>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = bytes.map(|bytes| ByteNumber::<false>(bytes as u64));
        Switch::serialize(&bytes, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        let read: Option<ByteNumber<false>> = Switch::deserialize(deserializer)?;
        read.map(ByteNumber::number).transpose()
    }
}

/// Bytes a second: a number, or text with a unit, such as `10MiB/s`; `false` for `None`.
#[derive(Debug)]
pub(crate) struct OptionalByteRate;

impl OptionalByteRate {
    pub(crate) fn serialize<N: Copy + Into<u64>, S: Serializer>(
        bytes: &Option<N>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes = bytes.map(|bytes| ByteNumber::<true>(bytes.into()));
        Switch::serialize(&bytes, serializer)
    }

    pub(crate) fn deserialize<'de, N: TryFrom<u64>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<N>, D::Error> {
        let read: Option<ByteNumber<true>> = Switch::deserialize(deserializer)?;
        read.map(ByteNumber::number).transpose()
    }
}

/// Bytes, a second if `RATE`.
struct ByteNumber<const RATE: bool>(u64);

impl<const RATE: bool> ByteNumber<RATE> {
    fn number<N: TryFrom<u64>, E: Error>(self) -> Result<N, E> {
        let unexpected = Unexpected::Unsigned(self.0);
        N::try_from(self.0).map_err(|_| E::invalid_value(unexpected, &ByteVisitor::<RATE>))
    }
}

/// A number and the largest unit of 1024 that divides it.
struct WithUnit(u64, &'static str);

impl fmt::Display for WithUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(bytes, behind) = *self;
        let divides = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
        let (name, unit) = UNITS[..3].iter().find(divides).unwrap_or(&UNITS[3]);
        write!(f, "{}{name}{behind}", bytes / unit)
    }
}

impl<const RATE: bool> Serialize for ByteNumber<RATE> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&WithUnit(self.0, if RATE { "/s" } else { "" }))
    }
}

impl<'de, const RATE: bool> Deserialize<'de> for ByteNumber<RATE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = ByteVisitor::<RATE>;
        deserializer.deserialize_any(visitor).map(Self)
    }
}

struct ByteVisitor<const RATE: bool>;

impl<const RATE: bool> Visitor<'_> for ByteVisitor<RATE> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match RATE {
            true => "bytes a second above 0, such as 500000, 64KiB/s or 10MB/s",
            false => "a number of bytes, such as 500000, 64KiB or 10MB",
        })
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        let size = match RATE {
            true => text.trim().strip_suffix("/s").unwrap_or(text),
            false => text,
        };
        parse(size).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*scale)
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use lb_core::serde_form::Switch;
    use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

    use super::{ByteSize, OptionalByteRate, OptionalByteSize};

    impl JsonSchema for ByteSize {
        fn schema_name() -> Cow<'static, str> {
            "ByteSize".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "A number of bytes, or text with a unit (B, kB, KiB, MB, MiB, GB, GiB), such as \"64KiB\".",
                "type": ["integer", "string"],
                "minimum": 0,
                "pattern": r"^\s*[0-9]+\s*(B|kB|KiB|MB|MiB|GB|GiB)\s*$",
            })
        }
    }

    impl JsonSchema for OptionalByteSize {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "OptionalByteSize".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            Switch::<ByteSize>::json_schema(generator)
        }
    }

    /// Of the form alone.
    struct ByteRate;

    impl JsonSchema for ByteRate {
        fn schema_name() -> Cow<'static, str> {
            "ByteRate".into()
        }

        fn json_schema(_: &mut SchemaGenerator) -> Schema {
            json_schema!({
                "description": "Bytes a second: a number, or text with a unit (B, kB, KiB, MB, MiB, GB, GiB), such as \"10MiB/s\".",
                "type": ["integer", "string"],
                "minimum": 1,
                "pattern": r"^\s*[0-9]+\s*(B|kB|KiB|MB|MiB|GB|GiB)(/s)?\s*$",
            })
        }
    }

    impl JsonSchema for OptionalByteRate {
        fn inline_schema() -> bool {
            true
        }

        fn schema_name() -> Cow<'static, str> {
            "OptionalByteRate".into()
        }

        fn json_schema(generator: &mut SchemaGenerator) -> Schema {
            Switch::<ByteRate>::json_schema(generator)
        }
    }
}
