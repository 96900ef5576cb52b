//! The parameters of a request.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::answer::{AdminAnswer, RequestError};

/// The parameters of a request, each at most once.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Decodes forms: the query, and the body of a `POST`. Each name must be `known`.
    pub(super) fn decode(forms: &[&[u8]], known: &[&str]) -> Result<Self, RequestError> {
        let mut all = BTreeMap::new();
        for form in forms {
            for (name, value) in form_urlencoded::parse(form) {
                if !known.contains(&&*name) {
                    let known = match known {
                        [] => "this request has none".to_owned(),
                        known => format!("there are {}", known.join(", ")),
                    };
                    return Err(RequestError::bad(format!(
                        "unknown parameter \"{}\": {known}",
                        lb_core::Escaped(&name)
                    )));
                }
                if all.contains_key(&*name) {
                    let text = format!("parameter \"{name}\" is repeated");
                    return Err(RequestError::bad(text));
                }
                all.insert(name.into_owned(), value.into_owned());
            }
        }
        Ok(Self(all))
    }

    /// The value of a parameter. An empty one counts as missing.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, RequestError> {
        self.get(name)
            .ok_or_else(|| RequestError::bad(format!("parameter \"{name}\" is missing")))
    }

    /// The parsed value of a parameter. `expected` completes the error.
    pub(super) fn parse<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, RequestError> {
        let parsed = self.get(name).map(|value| {
            let invalid = || invalid(name, value, expected);
            value.parse().map_err(|_| invalid())
        });
        parsed.transpose()
    }

    /// Whether a parameter is set: `1` or `true`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, RequestError> {
        match self.get(name) {
            None | Some("0" | "false") => Ok(false),
            Some("1" | "true") => Ok(true),
            Some(other) => Err(invalid(name, other, "0 or 1")),
        }
    }

    /// A number of seconds, or one with a unit: `500ms`, `30s`, `5m`, `2h`, `1d`.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, RequestError> {
        let parsed = self.get(name).map(|value| {
            duration(value).ok_or_else(|| invalid(name, value, "a time such as 30s, 5m or 2h"))
        });
        parsed.transpose()
    }
}

/// The error for a value that is not what the parameter takes.
pub(super) fn invalid(name: &str, value: &str, expected: &str) -> RequestError {
    let value = lb_core::Escaped(value);
    RequestError::bad(format!(
        "parameter \"{name}\" is \"{value}\", not {expected}"
    ))
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().ok()?;
    let millis = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

impl From<RequestError> for AdminAnswer {
    fn from(error: RequestError) -> Self {
        Self::error(error.status, &error.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_repeated_parameters_are_errors() {
        let decode = |query: &str, body: &str| {
            Parameters::decode(&[query.as_bytes(), body.as_bytes()], &["a", "b"])
        };
        let both = decode("a=1%2F2", "b=+x").unwrap();
        assert_eq!((both.get("a"), both.get("b")), (Some("1/2"), Some(" x")));
        assert!(decode("a=&b", "").unwrap().get("a").is_none());
        for (query, body) in [("c=1", ""), ("a=1&a=1", ""), ("a=1", "a=2"), ("%00", "")] {
            assert!(decode(query, body).is_err(), "{query} {body}");
        }
    }

    #[test]
    fn times_have_units() {
        let seconds = |text| duration(text).map(|time| time.as_secs_f64());
        assert_eq!(seconds("90"), Some(90.0));
        assert_eq!(seconds("500ms"), Some(0.5));
        assert_eq!(seconds("2h"), Some(7200.0));
        for bad in [
            "",
            "s",
            "1y",
            "-1",
            "1.5",
            "99999999999999999999d",
            "9999999999999999999d",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
