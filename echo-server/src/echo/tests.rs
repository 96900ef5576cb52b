use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::time::timeout;

use super::*;

/// A client's input, cut into the given chunks, and the writes that answer it.
struct Script {
    chunks: Vec<Vec<u8>>,
    writes: Vec<Vec<u8>>,
}

impl AsyncRead for &mut Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(chunk) = self.chunks.first_mut() {
            let taken = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk[..taken]);
            chunk.drain(..taken);
            if chunk.is_empty() {
                self.chunks.remove(0);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for &mut Script {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes.push(buf.to_vec());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The writes that answer `chunks`, each of which arrives at once.
async fn writes(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut script = Script {
        chunks: chunks.iter().map(|chunk| chunk.to_vec()).collect(),
        writes: Vec::new(),
    };
    echo(&mut script, b"n: ", &CancellationToken::new())
        .await
        .unwrap();
    script.writes
}

fn line(len: usize) -> Vec<u8> {
    let mut line = vec![b'x'; len];
    line[len - 1] = b'\n';
    line
}

#[tokio::test]
async fn a_chunk_of_lines_is_one_write() {
    assert_eq!(
        writes(&[b"a\nb\r\n\nc\n"]).await,
        [b"n: a\nn: b\r\nn: \nn: c\n"]
    );
}

#[tokio::test]
async fn a_line_in_pieces_is_answered_when_it_ends() {
    assert_eq!(
        writes(&[b"a", b"b", b"c\nd", b"e\n"]).await,
        [b"n: abc\n".as_slice(), b"n: de\n"]
    );
}

#[tokio::test]
async fn the_last_line_needs_no_newline() {
    assert_eq!(writes(&[b"a\nb"]).await, [b"n: a\n", b"n: b\n"]);
    assert_eq!(writes(&[b"b\r"]).await, [b"n: b\r\n"]);
    assert!(writes(&[]).await.is_empty());
}

#[tokio::test]
async fn a_line_at_the_limit_is_answered_whole() {
    let line = line(LINE_LIMIT);
    assert_eq!(
        writes(&[&line]).await,
        [[b"n: ".as_slice(), &line].concat()]
    );
}

#[tokio::test]
async fn a_longer_line_streams_behind_one_prefix() {
    let mut input = line(2 * LINE_LIMIT + 10);
    input.extend_from_slice(b"next\n");
    let writes = writes(&[&input]).await;
    assert_eq!(
        writes.concat(),
        [b"n: ".as_slice(), &input[..input.len() - 5], b"n: next\n"].concat()
    );
    assert_eq!(writes.len(), 3);
    assert_eq!(writes[0].len(), b"n: ".len() + LINE_LIMIT);
}

#[tokio::test]
async fn a_longer_line_is_not_held_back_once_it_streams() {
    let long = vec![b'x'; LINE_LIMIT];
    assert_eq!(
        writes(&[&long, b"1", b"2"]).await[1..],
        [b"1".as_slice(), b"2", b"\n"]
    );
}

#[tokio::test]
async fn many_answers_share_a_bounded_buffer() {
    let writes = writes(&[&[b'\n'; LINE_LIMIT]]).await;
    assert_eq!(writes.concat(), b"n: \n".repeat(LINE_LIMIT));
    let longest = writes.iter().map(Vec::len).max().unwrap();
    assert!(longest <= b"n: ".len() + LINE_LIMIT, "{longest}");
    assert_eq!(writes.len(), 4);
}

#[tokio::test]
async fn every_cut_of_the_input_gives_the_same_answer() {
    let mut input = b"\na\r\n\n\xff\xfe\0b\n".to_vec();
    input.extend_from_slice(&line(LINE_LIMIT + 1));
    input.extend_from_slice(&line(LINE_LIMIT));
    input.extend_from_slice(b"last");
    let mut expected = Vec::new();
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        expected.extend_from_slice(b"n: ");
        expected.extend_from_slice(line);
    }
    expected.push(b'\n');
    for size in [1, 2, 3, 7, 1000, LINE_LIMIT - 1, LINE_LIMIT, LINE_LIMIT + 1] {
        let chunks: Vec<_> = input.chunks(size).collect();
        assert!(
            writes(&chunks).await.concat() == expected,
            "chunks of {size}"
        );
    }
}

/// The clock is paused: it jumps to the deadline only when nothing can run any more.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_not_read_from() {
    const PIPE: usize = 1024;
    let (mut client, server) = duplex(PIPE);
    tokio::spawn(serve_one(server, CancellationToken::new()));
    let mut sent = 0;
    let flood = async {
        loop {
            sent += client.write(&[b'\n'; 100]).await.unwrap();
        }
    };
    assert!(timeout(Duration::from_secs(3600), flood).await.is_err());
    assert!(sent <= PIPE + LINE_LIMIT, "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_connection_that_waits() {
    let (mut client, server) = duplex(1024);
    let stop = CancellationToken::new();
    let served = tokio::spawn(serve_one(server, stop.clone()));
    client.write_all(b"a\nunfinished").await.unwrap();
    stop.cancel();
    let mut answers = String::new();
    client.read_to_string(&mut answers).await.unwrap();
    assert_eq!(answers, "n: a\n");
    served.await.unwrap().unwrap();
}

async fn serve_one(stream: DuplexStream, stop: CancellationToken) -> io::Result<()> {
    echo(stream, b"n: ", &stop).await
}
