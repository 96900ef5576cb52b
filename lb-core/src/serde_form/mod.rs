//! Forms of settings as people write them, for `#[serde(with = "…")]`.
//!
//! Each type of this module stands for the form of a value, and is never a value itself. With the feature `schema` it has the
//! form's JSON schema, too.
//!
//! | type | of | as |
//! |---|---|---|
//! | [`DurationForm`] | [`Duration`](std::time::Duration) | `"10s"`, `"1h 30m"`, `"150ms"` |
//! | [`OptionalDuration`] | `Option<Duration>` | the same, or `false` |
//! | [`Percent`], [`OptionalPercent`] | whole percentages in a range | `50`, or `false` |
//! | [`Positive`], [`OptionalPositive`] | numbers that cannot be 0 | `4`, or `false` |
//! | [`Switch`] | `Option<T>` | the form of `T`, or `false` |
//!
//! ```
//! use std::time::Duration;
//! use lb_core::serde_form::{DurationForm, OptionalDuration};
//!
//! #[derive(Debug, PartialEq, serde::Deserialize, serde::Serialize)]
//! struct Settings {
//!     #[serde(with = "DurationForm")]
//!     connect: Duration,
//!     #[serde(with = "OptionalDuration")]
//!     idle: Option<Duration>,
//! }
//!
//! let text = r#"{"connect":"5s","idle":false}"#;
//! let settings: Settings = serde_json::from_str(text)?;
//! assert_eq!(settings, Settings { connect: Duration::from_secs(5), idle: None });
//! assert_eq!(serde_json::to_string(&settings)?, text);
//! # Ok::<(), serde_json::Error>(())
//! ```

mod duration;
mod duration_text;
mod percent;
mod positive;
#[cfg(feature = "schema")]
mod schema;
mod seconds;
mod switch;

pub use duration::{DurationForm, OptionalDuration};
pub use duration_text::{DurationTextError, format_duration, parse_duration};
pub use percent::{OptionalPercent, Percent};
pub use positive::{OptionalPositive, Positive};
pub use seconds::{optional_seconds, seconds};
pub use switch::Switch;
