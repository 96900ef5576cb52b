//! The forms of numbers that cannot be 0.

use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, Unexpected};
use serde::ser::{Serialize, Serializer};

use super::switch::Switch;

/// A whole number above 0: 0 is an error as soon as it is read. `T` is an integer, such as `u32`.
#[derive(Debug)]
pub struct Positive<T>(PhantomData<T>);

impl<T: Default + PartialEq> Positive<T> {
    /// Writes the number.
    pub fn serialize<S: Serializer>(number: &T, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
    {
        number.serialize(serializer)
    }

    /// Reads a number above 0.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de>,
    {
        let AboveZero(number) = AboveZero::deserialize(deserializer)?;
        Ok(number)
    }
}

/// The same, or `false` for `None`.
#[derive(Debug)]
pub struct OptionalPositive<T>(PhantomData<T>);

impl<T: Default + PartialEq> OptionalPositive<T> {
    /// Writes the number, or `false`.
    pub fn serialize<S: Serializer>(number: &Option<T>, serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Serialize,
    {
        Switch::serialize(number, serializer)
    }

    /// Reads a number above 0, `false` or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: Deserialize<'de>,
    {
        let read: Option<AboveZero<T>> = Switch::deserialize(deserializer)?;
        Ok(read.map(|AboveZero(number)| number))
    }
}

struct AboveZero<T>(T);

impl<'de, T: Default + Deserialize<'de> + PartialEq> Deserialize<'de> for AboveZero<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = T::deserialize(deserializer)?;
        if number == T::default() {
            let expected = &"a number above 0";
            return Err(D::Error::invalid_value(Unexpected::Unsigned(0), expected));
        }
        Ok(Self(number))
    }
}
