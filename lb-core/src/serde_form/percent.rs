//! The forms of percentages.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;

use super::switch::Switch;

/// A whole percentage from `MIN` to `MAX`, as a number.
#[derive(Debug)]
#[non_exhaustive]
pub struct Percent<const MIN: u16, const MAX: u16>;

impl<const MIN: u16, const MAX: u16> Percent<MIN, MAX> {
    /// Writes the number.
    pub fn serialize<T: Copy + Into<u16>, S: Serializer>(
        percent: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16((*percent).into())
    }

    /// Reads a number that is in the range.
    pub fn deserialize<'de, T: TryFrom<u16>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        let InRange(percent) = InRange::<MIN, MAX>::deserialize(deserializer)?;
        let unexpected = Unexpected::Unsigned(percent.into());
        T::try_from(percent)
            .map_err(|_| D::Error::invalid_value(unexpected, &InRangeVisitor::<MIN, MAX>))
    }
}

/// A whole percentage from `MIN` to `MAX`, or `false` for `None`. If 0 is in the range, it means `None`, too.
#[derive(Debug)]
#[non_exhaustive]
pub struct OptionalPercent<const MIN: u16, const MAX: u16>;

impl<const MIN: u16, const MAX: u16> OptionalPercent<MIN, MAX> {
    /// Writes the number, or `false`.
    pub fn serialize<T: Copy + Into<u16>, S: Serializer>(
        percent: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Switch::serialize(&percent.map(Into::into), serializer)
    }

    /// Reads a number that is in the range, `false` or null.
    pub fn deserialize<'de, T: TryFrom<u16>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let read: Option<InRange<MIN, MAX>> = Switch::deserialize(deserializer)?;
        let percent = read.map(|InRange(percent)| percent);
        let Some(percent) = percent.filter(|percent| *percent > 0) else {
            return Ok(None);
        };
        let unexpected = Unexpected::Unsigned(percent.into());
        T::try_from(percent)
            .map(Some)
            .map_err(|_| D::Error::invalid_value(unexpected, &InRangeVisitor::<MIN, MAX>))
    }
}

struct InRange<const MIN: u16, const MAX: u16>(u16);

impl<'de, const MIN: u16, const MAX: u16> Deserialize<'de> for InRange<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor = InRangeVisitor::<MIN, MAX>;
        deserializer.deserialize_u16(visitor).map(Self)
    }
}

struct InRangeVisitor<const MIN: u16, const MAX: u16>;

impl<const MIN: u16, const MAX: u16> Visitor<'_> for InRangeVisitor<MIN, MAX> {
    type Value = u16;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole percentage from {MIN} to {MAX}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u16, E> {
        let percent = u16::try_from(value).ok();
        let in_range = percent.filter(|percent| (MIN..=MAX).contains(percent));
        in_range.ok_or_else(|| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<u16, E> {
        match u64::try_from(value) {
            Ok(value) => self.visit_u64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Signed(value), &self)),
        }
    }
}
