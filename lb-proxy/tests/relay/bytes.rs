//! Bytes, ends and resets arrive at the other side.

use std::time::Duration;

use lb_proxy::settings::HalfClose;
use lb_proxy::{Listener, Timeouts};
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::proxy::{session, session_with};
use test_support::streams::{
    assert_reset, fill, read_all, read_until_reset, reset, send_and_receive,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_mebibytes_each_way_at_once() {
    const LEN: usize = 100 << 20;
    let (proxy, client, server) = session().await;
    let (up, down) = (noise(1, LEN), noise(2, LEN));
    let (at_client, at_server) = tokio::join!(
        send_and_receive(client, up.clone()),
        send_and_receive(server, down.clone()),
    );
    assert!(at_client.1 == down, "bytes to the client differ");
    assert!(at_server.1 == up, "bytes to the backend differ");
    drop((at_client, at_server));
    proxy.end().await;
}

#[tokio::test]
async fn bytes_are_counted_in_both_directions() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"hello").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"hello");
    server.write_all(b"good day").await.unwrap();
    drop(server);
    assert_eq!(read_all(&mut client).await, b"good day");
    eventually("the end", || proxy.metrics().finished == 1).await;
    let metrics = proxy.metrics();
    assert_eq!(
        (metrics.bytes_to_backends, metrics.bytes_to_clients),
        (5, 8)
    );
    proxy.end().await;
}

#[tokio::test]
async fn a_client_that_ends_its_stream_first_is_still_answered() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"request").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"request");
    let answer = noise(3, 1 << 20);
    server.write_all(&answer).await.unwrap();
    server.shutdown().await.unwrap();
    assert!(read_all(&mut client).await == answer);
    eventually("the end", || proxy.metrics().finished == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_server_that_ends_its_stream_first_still_receives() {
    let (proxy, mut client, mut server) = session().await;
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(read_all(&mut client).await, b"greeting");
    let upload = noise(4, 1 << 20);
    client.write_all(&upload).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(read_all(&mut server).await == upload);
    eventually("the end", || proxy.metrics().finished == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn an_end_behind_bytes_that_are_held_back_arrives_after_them() {
    let (proxy, mut client, mut server) = session().await;
    let sent = fill(&client).await;
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await.len(), sent);
    drop(server);
    read_all(&mut client).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_reset_by_the_client_resets_the_backend() {
    let (proxy, mut client, mut server) = session().await;
    client.write_all(b"x").await.unwrap();
    server.read_u8().await.unwrap();
    reset(client);
    assert_reset(&mut server).await;
    eventually("the end", || proxy.metrics().client_resets == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_reset_by_the_backend_resets_the_client() {
    let (proxy, mut client, mut server) = session().await;
    server.write_all(b"x").await.unwrap();
    client.read_u8().await.unwrap();
    reset(server);
    assert_reset(&mut client).await;
    eventually("the end", || proxy.metrics().backend_resets == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_reset_waits_for_the_bytes_that_a_blocked_side_has_not_read() {
    let (proxy, client, mut server) = session().await;
    let sent = fill(&client).await;
    reset(client);
    assert!(read_until_reset(&mut server).await.len() <= sent);
    eventually("the end", || proxy.metrics().client_resets == 1).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_reset_after_a_half_close_is_forwarded() {
    let (proxy, mut client, mut server) = session().await;
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut server).await, b"");
    reset(client);
    eventually("the end", || proxy.metrics().client_resets == 1).await;
    // After the end of a stream only a write shows a reset.
    within("the reset", async {
        while server.write_all(b"x").await.is_ok() {}
    })
    .await;
    proxy.end().await;
}

#[tokio::test]
async fn an_answer_sent_before_a_reset_is_not_lost() {
    let (proxy, mut client, mut server) = session().await;
    // The kernel resets behind the answer, because the socket is closed with bytes unread.
    client.write_all(b"unread").await.unwrap();
    server.peek(&mut [0]).await.unwrap();
    server.write_all(b"no").await.unwrap();
    drop(server);
    let mut answer = [0; 2];
    within("the answer", client.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"no");
    assert_reset(&mut client).await;
    proxy.end().await;
}

#[tokio::test]
async fn a_silent_session_ends_and_bytes_in_either_direction_keep_it_open() {
    let idle = Duration::from_secs(5);
    let timeouts = Timeouts::default().idle(Some(idle));
    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    let begin = tokio::time::Instant::now();
    for _ in 0..6 {
        tokio::time::sleep(idle / 4).await;
        server.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
    }
    assert!(begin.elapsed() > idle);
    assert_eq!(proxy.metrics().idle_timeouts, 0);
    assert_eq!(read_all(&mut client).await, b"");
    assert_eq!(read_all(&mut server).await, b"");
    assert_eq!(proxy.metrics().idle_timeouts, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_half_closed_session_ends_when_the_other_side_is_silent() {
    let silence = Duration::from_secs(5);
    let timeouts = Timeouts::default().half_closed(Some(silence));
    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    client.shutdown().await.unwrap();
    for _ in 0..6 {
        tokio::time::sleep(silence / 4).await;
        server.write_all(b"x").await.unwrap();
        client.read_u8().await.unwrap();
    }
    assert_eq!(proxy.metrics().half_closed_timeouts, 0);
    // The server never ended its stream, so the client must see no end.
    assert_reset(&mut client).await;
    assert_eq!(proxy.metrics().half_closed_timeouts, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_session_without_a_first_byte_ends_and_one_byte_keeps_it_open() {
    let timeouts = Timeouts::default()
        .first_byte(Some(Duration::from_secs(1)))
        .idle(Some(Duration::from_secs(3)));
    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    assert_eq!(read_all(&mut client).await, b"");
    assert_eq!(read_all(&mut server).await, b"");
    assert_eq!(proxy.metrics().first_byte_timeouts, 1);
    proxy.end().await;

    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    server.write_all(b"x").await.unwrap();
    client.read_u8().await.unwrap();
    assert_eq!(read_all(&mut client).await, b"");
    let metrics = proxy.metrics();
    assert_eq!((metrics.first_byte_timeouts, metrics.idle_timeouts), (0, 1));
    proxy.end().await;
}

#[tokio::test]
async fn a_session_of_the_maximum_age_is_reset_even_if_bytes_move() {
    let timeouts = Timeouts::default()
        .max_age(Some(Duration::from_millis(500)))
        .max_age_jitter(Duration::from_millis(100));
    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    let sending = async {
        loop {
            if let Err(error) = client.write_all(b"still here").await {
                return error.kind();
            }
        }
    };
    let (error, ()) = tokio::join!(sending, assert_reset(&mut server));
    assert_eq!(error, std::io::ErrorKind::ConnectionReset);
    assert_eq!(proxy.metrics().max_age_reached, 1);
    proxy.end().await;
}

#[tokio::test]
async fn a_timeout_with_held_bytes_resets_the_side_that_did_not_read() {
    // Longer than a busy machine needs until bytes are held.
    let timeouts = Timeouts::default().idle(Some(Duration::from_secs(3)));
    let (proxy, mut client, mut server) = session_with(|l| l.timeouts(timeouts)).await;
    let sent = fill(&server).await;
    // The server's connection is closed at once. The client has a minute for the bytes in the kernel.
    assert_reset(&mut server).await;
    let received = read_until_reset(&mut client).await.len() as u64;
    eventually("the end", || proxy.metrics().idle_timeouts == 1).await;
    assert_eq!(received, proxy.metrics().bytes_to_clients);
    assert!(received < sent as u64);
    proxy.end().await;
}

#[tokio::test]
async fn both_directions_of_a_saturated_session_move() {
    let (proxy, client, server) = session().await;
    let mut ends = Vec::new();
    for stream in [client, server] {
        let (mut reader, mut writer) = stream.into_split();
        ends.push(tokio::spawn(async move {
            let block = [7; 64 * 1024];
            while writer.write_all(&block).await.is_ok() {}
        }));
        ends.push(tokio::spawn(async move {
            let mut block = [0; 64 * 1024];
            while reader.read(&mut block).await.is_ok_and(|n| n > 0) {}
        }));
    }
    eventually("a quarter of a gibibyte", || {
        let metrics = proxy.metrics();
        metrics.bytes_to_backends + metrics.bytes_to_clients > 256 << 20
    })
    .await;
    let metrics = proxy.metrics();
    let (up, down) = (metrics.bytes_to_backends, metrics.bytes_to_clients);
    assert!(up.max(down) < 4 * up.min(down), "{up} up, {down} down");
    proxy.handle.abort();
    for end in ends {
        end.await.unwrap();
    }
    proxy.end().await;
}

#[tokio::test]
async fn without_half_close_one_end_ends_the_session_once_all_is_delivered() {
    let ends = |listener: Listener| listener.half_close(HalfClose::End);
    let bytes = noise(5, 1 << 20);
    // The server could send more, but the session does not wait for it.
    let (proxy, client, mut server) = session_with(ends).await;
    let (client, answer) = tokio::join!(
        send_and_receive(client, bytes.clone()),
        read_all(&mut server)
    );
    assert!(answer == bytes);
    assert_eq!(client.1, b"");
    eventually("the end", || proxy.metrics().finished == 1).await;
    proxy.end().await;

    let (proxy, mut client, server) = session_with(ends).await;
    let (answer, server) = tokio::join!(
        read_all(&mut client),
        send_and_receive(server, bytes.clone())
    );
    assert!(answer == bytes);
    assert_eq!(server.1, b"");
    proxy.end().await;
}
