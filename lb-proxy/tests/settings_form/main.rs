//! A proxy from a file of settings: defaults, round trips, what is refused, the JSON schema and the list of settings. Reports as data.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod documents;
mod forms;
mod proxies;
mod refused;
mod reports;
mod splits;

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn read<T: DeserializeOwned>(text: &str) -> T {
    let read = serde_saphyr::from_str(text);
    read.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Writes JSON and reads it as YAML, which it is.
#[track_caller]
fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(read::<T>(&text), *value, "{text}");
    text
}
