//! Variables of nginx that nginx_like does not have.

use crate::variables::error::VariableError;

/// Names, or with a star at the end the beginnings of names, and what to do instead.
#[rustfmt::skip]
const NAMES: &[(&str, &str)] = &[
    ("geoip_*", "use \"geo\" with a list of networks"),
    ("geoip2_*", "use \"geo\" with a list of networks"),
    ("mqtt_preread_*", "nothing reads MQTT"),
];

/// The error of a name that nothing defines.
pub(super) fn error(name: &str) -> VariableError {
    let is_named = |(known, _): &&(&str, &str)| match known.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *known,
    };
    let found = NAMES.iter().find(is_named);
    let name = name.to_owned();
    match found {
        Some((_, instead)) => VariableError::NotSupported { name, instead },
        None => VariableError::Unknown { name },
    }
}
