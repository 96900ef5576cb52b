//! Answers of the API server.

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

#[cfg(test)]
mod tests {
    use lb_discovery::kubernetes::Cluster;
    use lb_discovery::kubernetes::controller::{ApiMethod, ApiRequest, ApiRequests};
    use test_support::kubernetes::{ApiServer, Fault};

    use super::*;

    /// The answer of a server in this state.
    async fn answer(fault: Fault) -> ApiAnswer {
        let api = ApiServer::start().await;
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = api.kubeconfig(dir.path(), "", "token: secret");
        api.fault(fault);
        let requests = ApiRequests::new(&Cluster::kubeconfig(kubeconfig));
        let request = ApiRequest::new(ApiMethod::Get, "/api/v1/namespaces/a/services/b");
        let limit = std::time::Duration::from_secs(10);
        requests.send(&request, limit).await.unwrap()
    }

    #[tokio::test]
    async fn a_message_is_one_line_of_bounded_length_whatever_answers() {
        let mut hostile = answer(Fault::Garbage).await;
        assert_eq!(message(&hostile), "<html>Welcome to nginx!</html>");
        hostile.body = b"{\"message\":\"two\\nlines \\u001b[31m\"}".to_vec();
        let text = message(&hostile);
        assert!(!text.contains(['\n', '\u{1b}']), "{text}");
        hostile.body = b"raw\nbody \x1b[31m\xff".to_vec();
        let text = message(&hostile);
        assert!(
            text.starts_with("raw") && !text.contains(['\n', '\u{1b}']),
            "{text}"
        );
        hostile.body = vec![b'x'; 1 << 20];
        assert_eq!(message(&hostile).len(), LONGEST);
        hostile.body.clear();
        assert_eq!(message(&hostile), "no message");
    }
}
