//! The head of an HTTP answer.

use super::error::CheckError;

/// More headers than this are not read.
const MAX_HEADERS: usize = 100;

/// What a check uses of an answer.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct HttpAnswer {
    pub(super) status: u16,
    reason: Box<str>,
    /// The value of the header that was asked for.
    pub(super) header: Option<Box<[u8]>>,
}

impl HttpAnswer {
    /// As `503 Service Unavailable`.
    pub(super) fn status_line(&self) -> String {
        format!("{} {}", self.status, self.reason).trim_end().into()
    }
}

/// Reads the head of an answer, with the value of the header `wanted`. Interim answers (1xx) before it are skipped. `None`:
/// more has to be read.
pub(super) fn parse(bytes: &[u8], wanted: Option<&str>) -> Result<Option<HttpAnswer>, CheckError> {
    let mut rest = bytes;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(rest);
        let len = match parsed {
            Ok(httparse::Status::Complete(len)) => len,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                let text = format!("the answer has more than {MAX_HEADERS} headers");
                return Err(CheckError::Unexpected(text.into()));
            }
            Err(_) => return Err(CheckError::unexpected(bytes)),
        };
        let status = response.code.unwrap_or_default();
        if (100..200).contains(&status) && status != 101 {
            rest = &rest[len..];
            continue;
        }
        let is_wanted = |header: &&httparse::Header<'_>| {
            wanted.is_some_and(|wanted| header.name.eq_ignore_ascii_case(wanted))
        };
        let header = response.headers.iter().find(is_wanted);
        return Ok(Some(HttpAnswer {
            status,
            reason: response.reason.unwrap_or_default().into(),
            header: header.map(|header| header.value.into()),
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ANSWER: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                          HTTP/1.1 503 Service Unavailable\r\nx-weight: 7\r\nContent-Length: 0\r\n\r\nbody";

    #[test]
    fn the_head_is_read_whatever_the_pieces() {
        let head = ANSWER.len() - "body".len();
        for len in 0..=ANSWER.len() {
            let answer = parse(&ANSWER.as_bytes()[..len], Some("X-Weight")).unwrap();
            assert_eq!(answer.is_some(), len >= head, "{len}");
            if let Some(answer) = answer {
                assert_eq!(answer.status_line(), "503 Service Unavailable");
                assert_eq!(answer.header.as_deref(), Some(&b"7"[..]));
            }
        }
        let plain = parse(b"HTTP/1.0 200\n\n", None).unwrap().unwrap();
        assert_eq!((&*plain.status_line(), plain.header), ("200", None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
        for bad in ["220 mail.example ESMTP\r\n", "HTTP/2 200\r\n\r\n", &many] {
            let error = parse(bad.as_bytes(), None);
            assert!(matches!(error, Err(CheckError::Unexpected(_))), "{error:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Some("a"));
            let mut begun = b"HTTP/1.1 200 ".to_vec();
            begun.extend(bytes);
            let _ = parse(&begun, Some("a"));
        }
    }
}
