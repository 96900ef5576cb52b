//! Every order in which the two sides of a relay can close, spliced and copied, on loopback and over a link with small
//! packets.

use lb_proxy::settings::Splice;
use socket2::SockRef;
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::kernel::{all_acknowledged, send_urgent};
use test_support::namespaces::Namespaces;
use test_support::proxy::{Link, Side};
use test_support::sockets::pair_on_loopback;
use test_support::streams::{
    assert_reset, fill, read_all, read_until_reset, reset, send_and_receive,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough to be spliced.
const LONG: usize = 1 << 20;

/// Runs every case in every setting.
macro_rules! cases {
    ($($case:ident,)*) => {
        mod spliced {
            $(#[tokio::test]
            async fn $case() {
                for first in [super::Side::Client, super::Side::Server] {
                    super::$case(super::Link::on_loopback(super::Splice::Auto, first)).await;
                }
            })*
        }

        mod copied {
            $(#[tokio::test]
            async fn $case() {
                for first in [super::Side::Client, super::Side::Server] {
                    super::$case(super::Link::on_loopback(super::Splice::Off, first)).await;
                }
            })*
        }

        /// Every case over links that `link` makes.
        async fn all_cases(link: impl Fn(Splice, Side) -> Link) {
            for splice in [Splice::Auto, Splice::Off] {
                for first in [Side::Client, Side::Server] {
                    $(
                        eprintln!("{} {splice:?}, {first:?} first", stringify!($case));
                        $case(link(splice, first)).await;
                    )*
                }
            }
        }
    };
}

cases! {
    one_ends_and_is_answered,
    both_end_at_once_behind_their_bytes,
    an_end_waits_behind_bytes_that_are_held,
    a_reset_of_an_idle_connection,
    a_reset_in_the_middle_of_a_transfer,
    a_reset_by_the_sender_while_the_receiver_is_blocked,
    a_reset_by_the_receiver_with_bytes_held_for_it,
    a_reset_after_the_end_of_the_same_side,
    a_reset_instead_of_the_answer_to_an_end,
    a_reset_in_the_middle_of_the_answer_to_an_end,
    small_pieces_after_a_long_transfer,
    a_reset_behind_acknowledged_bytes,
    a_reset_because_of_unread_bytes_behind_acknowledged_bytes,
    an_urgent_byte_in_a_long_transfer,
    an_urgent_byte_between_short_pieces,
}

/// Bytes that the kernels on the way acknowledge before anything is read.
const ACKNOWLEDGED: usize = 150_000;

/// The side that resets has sent everything before the other one reads.
async fn a_reset_behind_acknowledged_bytes(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let sent = noise(8, ACKNOWLEDGED);
    near.write_all(&sent).await.unwrap();
    all_acknowledged(&near).await;
    reset(near);
    assert!(read_until_reset(&mut far).await == sent);
    ended.assert_reset_by_near().await;
}

/// The kernel resets a connection if its socket is closed with bytes unread.
async fn a_reset_because_of_unread_bytes_behind_acknowledged_bytes(link: Link) {
    let (mut near, mut far, ended) = link.split();
    far.write_all(b"unread").await.unwrap();
    within("the bytes", near.peek(&mut [0])).await.unwrap();
    let sent = noise(9, ACKNOWLEDGED);
    near.write_all(&sent).await.unwrap();
    all_acknowledged(&near).await;
    drop(near);
    assert!(read_until_reset(&mut far).await == sent);
    ended.assert_reset_by_near().await;
}

/// splice(2) stops at an urgent byte, whether bytes or the end follow it. The byte itself is no part of the stream.
async fn an_urgent_byte_in_a_long_transfer(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let long = noise(10, LONG);
    let sending = async {
        for _ in 0..2 {
            near.write_all(&long).await.unwrap();
            near.writable().await.unwrap();
            send_urgent(&near, b'!').unwrap();
        }
        near.write_all(b"tail").await.unwrap();
        near.shutdown().await.unwrap();
    };
    let ((), received) = tokio::join!(sending, read_all(&mut far));
    // An urgent byte that the sender follows with another one before it is read becomes part of the stream.
    let expected = [&long[..], &long[..], b"tail"].concat();
    let inline = [&long[..], b"!", &long[..], b"tail"].concat();
    assert!(received == expected || received == inline);
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut near).await, b"");
    ended.assert_finished(received.len(), 0).await;
}

/// A read stops in front of an urgent byte. The bytes behind it must be delivered without waiting for more.
async fn an_urgent_byte_between_short_pieces(link: Link) {
    let (mut near, mut far, ended) = link.split();
    for round in 0..20 {
        near.write_all(b"before").await.unwrap();
        send_urgent(&near, b'!').unwrap();
        near.write_all(b"behind").await.unwrap();
        let mut received = [0; 12];
        within(&format!("round {round}"), far.read_exact(&mut received))
            .await
            .unwrap();
        assert_eq!(&received, b"beforebehind");
    }
    drop(near);
    assert_eq!(read_all(&mut far).await, b"");
    drop(far);
    ended.assert_finished(20 * 12, 0).await;
}

async fn one_ends_and_is_answered(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let (request, answer) = (noise(1, LONG), noise(2, LONG));
    let asking = async {
        near.write_all(&request).await.unwrap();
        near.shutdown().await.unwrap();
        assert!(read_all(&mut near).await == answer);
    };
    let answering = async {
        assert!(read_all(&mut far).await == request);
        far.write_all(&answer).await.unwrap();
        far.shutdown().await.unwrap();
    };
    tokio::join!(asking, answering);
    ended.assert_finished(LONG, LONG).await;
}

async fn both_end_at_once_behind_their_bytes(link: Link) {
    let (near, far, ended) = link.split();
    let (from_near, from_far) = (noise(3, LONG), noise(4, LONG));
    let (at_near, at_far) = tokio::join!(
        send_and_receive(near, from_near.clone()),
        send_and_receive(far, from_far.clone()),
    );
    assert!(at_near.1 == from_far);
    assert!(at_far.1 == from_near);
    ended.assert_finished(LONG, LONG).await;
}

async fn an_end_waits_behind_bytes_that_are_held(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let sent = fill(&near).await;
    near.shutdown().await.unwrap();
    let received = read_all(&mut far).await;
    assert_eq!(received.len(), sent);
    far.shutdown().await.unwrap();
    assert_eq!(read_all(&mut near).await, b"");
    ended.assert_finished(sent, 0).await;
}

async fn a_reset_of_an_idle_connection(link: Link) {
    let (mut near, mut far, ended) = link.split();
    near.write_all(b"x").await.unwrap();
    far.read_u8().await.unwrap();
    reset(near);
    assert_reset(&mut far).await;
    ended.assert_reset_by_near().await;
}

async fn a_reset_in_the_middle_of_a_transfer(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let sending = async move {
        near.write_all(&noise(6, LONG)).await.unwrap();
        reset(near);
    };
    tokio::join!(sending, assert_reset(&mut far));
    ended.assert_reset_by_near().await;
}

async fn a_reset_by_the_sender_while_the_receiver_is_blocked(link: Link) {
    let (near, mut far, ended) = link.split();
    fill(&near).await;
    reset(near);
    assert_reset(&mut far).await;
    ended.assert_reset_by_near().await;
}

async fn a_reset_by_the_receiver_with_bytes_held_for_it(link: Link) {
    let (mut near, far, ended) = link.split();
    fill(&near).await;
    reset(far);
    assert_reset(&mut near).await;
    ended.assert_reset_by_far().await;
}

async fn a_reset_after_the_end_of_the_same_side(link: Link) {
    let (mut near, mut far, ended) = link.split();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"");
    reset(near);
    ended.assert_reset_by_near().await;
    // After the end of a stream only a write shows a reset.
    within("the reset", async {
        while far.write_all(b"x").await.is_ok() {}
    })
    .await;
}

async fn a_reset_instead_of_the_answer_to_an_end(link: Link) {
    let (mut near, mut far, ended) = link.split();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"");
    reset(far);
    assert_reset(&mut near).await;
    ended.assert_reset_by_far().await;
}

async fn a_reset_in_the_middle_of_the_answer_to_an_end(link: Link) {
    let (mut near, mut far, ended) = link.split();
    near.shutdown().await.unwrap();
    assert_eq!(read_all(&mut far).await, b"");
    fill(&far).await;
    reset(far);
    assert_reset(&mut near).await;
    ended.assert_reset_by_far().await;
}

/// The end of a long transfer, and small pieces behind it, must be delivered without waiting for more bytes.
async fn small_pieces_after_a_long_transfer(link: Link) {
    let (mut near, mut far, ended) = link.split();
    let long = noise(5, LONG);
    for _ in 0..3 {
        let mut received = vec![0; LONG];
        let (sent, _) = tokio::join!(
            near.write_all(&long),
            within("a long transfer", far.read_exact(&mut received)),
        );
        sent.unwrap();
        assert!(received == long);
        for i in 0..40 {
            near.write_all(&[i]).await.unwrap();
            assert_eq!(within("a piece", far.read_u8()).await.unwrap(), i);
        }
    }
    drop(near);
    assert_eq!(read_all(&mut far).await, b"");
    drop(far);
    ended.assert_finished(3 * (LONG + 40), 0).await;
}

/// A server that closes before it has read everything resets behind its answer. If the answer was complete, a slow
/// client receives all of it before a reset.
async fn an_answer_that_ended_outlives_a_reset(splice: Splice) {
    let (clients, servers) = (pair_on_loopback(), pair_on_loopback());
    // The answer must be blocked between the relay and the client.
    SockRef::from(&clients.0)
        .set_recv_buffer_size(4096)
        .unwrap();
    SockRef::from(&clients.1)
        .set_send_buffer_size(4096)
        .unwrap();
    let (mut client, mut server, ended) =
        Link::over(clients, servers, splice, Side::Client).split();
    let answer = noise(7, 128 * 1024);
    server.write_all(&answer).await.unwrap();
    server.shutdown().await.unwrap();
    eventually("the relay's kernel to have it all", || {
        is_in_fin_wait_2(&server)
    })
    .await;
    reset(server);
    // The relay gets to see it.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(read_all(&mut client).await == answer);
    ended.assert_reset_by_far().await;
}

/// Whether the peer's kernel acknowledged everything up to the end, by the kernel's table of connections.
fn is_in_fin_wait_2(stream: &TcpStream) -> bool {
    let port = format!(":{:04X}", stream.local_addr().unwrap().port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().any(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields[1].ends_with(&port) && fields[3] == "05"
    })
}

#[tokio::test]
async fn an_answer_that_ended_outlives_a_reset_spliced() {
    an_answer_that_ended_outlives_a_reset(Splice::Auto).await;
}

#[tokio::test]
async fn an_answer_that_ended_outlives_a_reset_copied() {
    an_answer_that_ended_outlives_a_reset(Splice::Off).await;
}

/// Needs root. Without it, or if the kernel lacks a feature, the test prints so and passes.
fn over_namespaces(prepare: impl Fn(&Namespaces) -> Result<(), String>) {
    let namespaces = match Namespaces::create() {
        Ok(namespaces) => namespaces,
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    if let Err(reason) = prepare(&namespaces) {
        return eprintln!("skipped: {reason}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(all_cases(|splice, first| {
        Link::over(namespaces.pair(), namespaces.pair(), splice, first)
    }));
}

#[test]
fn small_packets_between_namespaces() {
    over_namespaces(|_| Ok(()));
}

#[test]
fn lost_packets_between_namespaces() {
    over_namespaces(|namespaces| namespaces.lose_packets("1%"));
}
