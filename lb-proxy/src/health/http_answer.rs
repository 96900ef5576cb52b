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

/// Reads the head of an answer piece by piece, with the value of the header `wanted`. Interim answers (1xx) before it are
/// skipped.
///
/// Parses when the first line or the head is complete and when the bytes have doubled, so that an answer in many pieces
/// costs no more than a few passes over its bytes. A mistake in the middle of a head shows by then.
#[derive(Debug)]
pub(super) struct HeadParser<'a> {
    wanted: Option<&'a str>,
    /// Where the present head begins.
    begin: usize,
    /// How many bytes behind `begin` were searched for the end of the head.
    searched: usize,
    /// How many bytes behind `begin` make the next attempt worth while.
    next: usize,
    has_line: bool,
    #[cfg(test)]
    parsed: usize,
}

/// A complete head.
enum Head {
    Final(HttpAnswer),
    /// Its length.
    Interim(usize),
}

impl<'a> HeadParser<'a> {
    pub(super) const fn new(wanted: Option<&'a str>) -> Self {
        Self {
            wanted,
            begin: 0,
            searched: 0,
            next: 1,
            has_line: false,
            #[cfg(test)]
            parsed: 0,
        }
    }

    /// Takes all bytes that have arrived. `None`: more has to be read.
    pub(super) fn parse(&mut self, bytes: &[u8]) -> Result<Option<HttpAnswer>, CheckError> {
        loop {
            self.skip_blank_lines(bytes);
            let rest = bytes.get(self.begin..).unwrap_or_default();
            // A lone CR may begin one more blank line.
            if rest == b"\r" || !self.is_worth_parsing(rest) {
                return Ok(None);
            }
            #[cfg(test)]
            {
                self.parsed += rest.len();
            }
            match parse_head(rest, self.wanted)? {
                None => return Ok(None),
                Some(Head::Final(answer)) => return Ok(Some(answer)),
                Some(Head::Interim(len)) => {
                    self.begin += len;
                    (self.searched, self.next, self.has_line) = (0, 1, false);
                }
            }
        }
    }

    /// HTTP allows blank lines in front of a head: they must not look like its end.
    fn skip_blank_lines(&mut self, bytes: &[u8]) {
        while self.searched == 0 {
            match bytes.get(self.begin..).unwrap_or_default() {
                [b'\n', ..] => self.begin += 1,
                [b'\r', b'\n', ..] => self.begin += 2,
                _ => return,
            }
        }
    }

    fn is_worth_parsing(&mut self, head: &[u8]) -> bool {
        let searched = std::mem::replace(&mut self.searched, head.len());
        let mut is_worth = head.len() >= self.next;
        for at in searched..head.len() {
            if head[at] == b'\n' {
                let line = head[..at].strip_suffix(b"\r").unwrap_or(&head[..at]);
                is_worth |= !self.has_line || line.ends_with(b"\n");
                self.has_line = true;
            }
        }
        if is_worth {
            self.next = head.len() * 2;
        }
        is_worth
    }
}

fn parse_head(bytes: &[u8], wanted: Option<&str>) -> Result<Option<Head>, CheckError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let len = match response.parse(bytes) {
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
        return Ok(Some(Head::Interim(len)));
    }
    let is_wanted = |header: &&httparse::Header<'_>| {
        wanted.is_some_and(|wanted| header.name.eq_ignore_ascii_case(wanted))
    };
    let header = response.headers.iter().find(is_wanted);
    Ok(Some(Head::Final(HttpAnswer {
        status,
        reason: response.reason.unwrap_or_default().into(),
        header: header.map(|header| header.value.into()),
    })))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(bytes: &[u8], wanted: Option<&str>) -> Result<Option<HttpAnswer>, CheckError> {
        HeadParser::new(wanted).parse(bytes)
    }

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

    #[test]
    fn an_answer_in_many_pieces_costs_a_few_passes_over_its_bytes() {
        let blank = "\r\n".repeat(1000);
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
        let headers = format!("a: {}\r\n", "b".repeat(100)).repeat(90);
        let long = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(10_000));
        let head = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        for answer in [
            head,
            long,
            format!("{blank}{interim}HTTP/1.1 200 OK\r\n\r\n"),
        ] {
            let mut parser = HeadParser::new(None);
            for len in 1..answer.len() {
                let parsed = parser.parse(&answer.as_bytes()[..len]).unwrap();
                assert_eq!(parsed, None, "{len}");
            }
            let parsed = parser.parse(answer.as_bytes()).unwrap();
            assert_eq!(parsed.map(|answer| answer.status), Some(200));
            assert!(
                parser.parsed < 5 * answer.len(),
                "{} of {}",
                parser.parsed,
                answer.len()
            );
        }
    }

    proptest! {
        /// Whatever the pieces are, the answer is the same.
        #[test]
        fn pieces_do_not_matter(
            (interims, headers) in (0..3_usize, 0..5_usize),
            cuts in prop::collection::vec(0..300_usize, 0..6),
        ) {
            let answer = format!(
                "\r\n{}HTTP/1.1 503 Busy\nx-weight: 7\r\n{}\r\nbody",
                "HTTP/1.1 100 Continue\r\n\r\n".repeat(interims),
                "a: b\n".repeat(headers),
            );
            let whole = parse(answer.as_bytes(), Some("x-weight")).unwrap();
            prop_assert!(whole.is_some());
            let (mut cuts, mut parser) = (cuts, HeadParser::new(Some("x-weight")));
            cuts.push(answer.len());
            cuts.sort_unstable();
            let pieces = cuts.iter().map(|&cut| &answer.as_bytes()[..cut.min(answer.len())]);
            let mut pieces = pieces.map(|piece| parser.parse(piece).unwrap());
            prop_assert_eq!(pieces.find_map(|parsed| parsed), whole);
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes, Some("a"));
            let mut begun = b"HTTP/1.1 200 ".to_vec();
            begun.extend(bytes);
            let _ = parse(&begun, Some("a"));
        }
    }
}
