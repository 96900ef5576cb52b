//! What the answers of the API server say.

use lb_discovery::kubernetes::controller::ApiAnswer;
use lb_proxy::lb_core::Escaped;
use serde_json::Value;

/// The most characters of a message.
const LONGEST: usize = 300;

/// The message of a failed request, on one line: of a `Status`, else the beginning of the body. Whatever answers, an intermediate
/// proxy included, may send any text of any length.
pub(super) fn message(answer: &ApiAnswer) -> String {
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = match status["message"].as_str() {
        Some(message) => message.into(),
        None => String::from_utf8_lossy(&answer.body),
    };
    let text: String = text.chars().take(LONGEST).collect();
    match text.is_empty() {
        true => "no message".to_owned(),
        false => Escaped(&text).to_string(),
    }
}
