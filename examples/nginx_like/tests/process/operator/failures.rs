//! Servers that are absent, silent, or no admin servers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::operator;
use crate::sockets::Reserved;

/// A server that answers each of its connections, once it has sent something, by `answer`.
pub(super) fn fake(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let len = stream.read(&mut request).unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..len]).into_owned();
            answer(&request, &mut stream);
        }
    });
    addr.to_string()
}

/// Sends an answer with a body.
pub(super) fn send(stream: &mut TcpStream, status: &str, body: &str) {
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

#[test]
fn an_absent_server_is_named_with_what_to_check() {
    let nobody = Reserved::any();
    let tcp = nobody.addr.to_string();
    let dir = tempfile::tempdir().unwrap();
    let unix = format!("unix:{}", dir.path().join("no.sock").display());
    for address in [tcp, unix] {
        for subcommand in [
            &["status"][..],
            &["sessions"],
            &["config"],
            &["log-level"],
            &["drain", "u", "b"],
            &["explain", "--upstream", "u"],
        ] {
            let absent = operator(&[subcommand, &["--admin", &address]].concat()).stderr(3);
            assert!(
                absent.starts_with(&format!("nginx_like: {address} cannot be reached (")),
                "{absent}"
            );
            assert!(
                absent.ends_with("): does the server run, with \"lb_admin\" at this address?\n"),
                "{absent}"
            );
        }
    }
}

#[test]
fn an_answer_that_is_none_of_an_admin_server_is_no_crash() {
    type Answer = fn(&mut TcpStream);
    let answers: [(&str, Answer); 7] = [
        ("connection closed", |_| {}),
        ("invalid HTTP version", |stream| {
            drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"))
        }),
        ("the answer is not JSON", |stream| {
            send(stream, "200 OK", "<html>")
        }),
        ("missing field", |stream| send(stream, "200 OK", "{}")),
        ("the status is 500, without a reason", |stream| {
            send(stream, "500 x", "")
        }),
        ("the answer is not text", |stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff");
        }),
        ("reads version 1", |stream| {
            send(stream, "200 OK", "{\"version\": 2}")
        }),
    ];
    for (expected, answer) in answers {
        let address = fake(move |_, stream| answer(stream));
        let failed = operator(&["status", "--admin", &address]).stderr(3);
        assert!(failed.contains(expected), "{expected}: {failed}");
        assert_eq!(failed.lines().count(), 1, "{failed}");
    }
}

#[test]
fn a_silent_server_and_an_endless_answer_are_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let silent = operator(&["status", "--timeout", "0.05", "--admin", &address]).stderr(3);
    assert_eq!(
        silent,
        format!("nginx_like: {address} has not answered within 0.05 s\n")
    );
    let wrong = operator(&["status", "--timeout", "0", "--admin", &address]).stderr(2);
    assert!(wrong.contains("write a number of seconds"), "{wrong}");

    let address = fake(|_, stream| {
        let mut sent = stream.write(b"HTTP/1.1 200 OK\r\n\r\n");
        let chunk = vec![b' '; 1 << 20];
        while sent.is_ok() {
            sent = stream.write(&chunk);
        }
    });
    let endless = operator(&["status", "--timeout", "60", "--admin", &address]).stderr(3);
    assert!(endless.contains(" is longer than 64 MiB"), "{endless}");
}
