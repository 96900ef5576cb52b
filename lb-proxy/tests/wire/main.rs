//! The parsers and writers of first bytes: PROXY protocol headers, ClientHellos, server names.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod client_hello;
mod nginx_names;
mod peers;
mod properties;
mod proxy_header;
mod proxy_written;
mod real;
mod server_names;

use lb_proxy::first_bytes::ParseStatus;

/// A parser that returns the length of the message.
type Parse<'a, E> = &'a dyn Fn(&[u8]) -> Result<ParseStatus<usize>, E>;

/// Asserts that a parser gives the same however the stream is split: no result before the first `message` bytes have
/// arrived, never a request for more than them, and the same result whatever follows.
#[track_caller]
fn split_at_every_byte<E: std::fmt::Debug>(stream: &[u8], message: usize, parse: Parse<'_, E>) {
    for have in 0..message {
        let ParseStatus::Incomplete { at_least } = parse(&stream[..have]).unwrap() else {
            panic!("complete after {have} of {message} bytes");
        };
        assert!(at_least > 0);
        assert!(
            have + at_least <= message,
            "{have} bytes read, {at_least} asked for"
        );
    }
    for have in message..=stream.len() {
        let parsed = parse(&stream[..have]).unwrap();
        assert_eq!(parsed.complete(), Some(message), "{have} bytes");
    }
}
