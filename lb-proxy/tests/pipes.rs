//! The transfers that own a pipe, and for how long. One test in a binary of its own: it counts descriptors of the process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lb_proxy::settings::Splice;
use test_support::bytes::noise;
use test_support::deadline::{eventually, within};
use test_support::descriptors;
use test_support::proxy::{Link, Side};
use test_support::streams::{fill, send_and_receive};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Long enough to be spliced if a pipe is available.
const LONG: usize = 2 << 20;

/// How many idle pipes a worker keeps.
const POOLED: usize = 8;

/// Sends until the transfer is blocked because nothing reads.
async fn blocked(splice: Splice) -> (TcpStream, TcpStream, usize) {
    let (near, far, _ended) = Link::on_loopback(splice, Side::Client).split();
    let sent = fill(&near).await;
    (near, far, sent)
}

async fn receive(far: &mut TcpStream, mut wanted: usize) {
    let mut block = vec![0; 64 * 1024];
    while wanted > 0 {
        wanted -= within("bytes", far.read(&mut block)).await.unwrap();
    }
}

#[tokio::test]
async fn only_a_blocked_transfer_owns_a_pipe_and_without_one_bytes_are_copied() {
    let before = descriptors::pipes();

    // Copying needs no pipe.
    let copied = blocked(Splice::Off).await;
    assert_eq!(descriptors::pipes(), before);
    drop(copied);

    // Each blocked transfer owns one; a finished, idle one owns none.
    let mut links = Vec::new();
    for _ in 0..2 * POOLED {
        links.push(blocked(Splice::Auto).await);
    }
    let held = descriptors::pipes() - before;
    assert!((POOLED + 1..=2 * POOLED).contains(&held), "{held} pipes");
    for (_, far, sent) in &mut links {
        receive(far, *sent).await;
    }
    eventually("the pipes to be given back", || {
        descriptors::pipes() - before <= POOLED
    })
    .await;
    for (near, far, _) in &mut links {
        near.write_all(b"x").await.unwrap();
        within("a byte", far.read_u8()).await.unwrap();
    }
    drop(links);

    // Without descriptors for pipes every byte is still delivered.
    let links: Vec<_> = (0..2 * POOLED)
        .map(|_| Link::on_loopback(Splice::Auto, Side::Client))
        .collect();
    let limit = descriptors::limit();
    descriptors::set_limit(descriptors::open());
    let mut transfers = tokio::task::JoinSet::new();
    for (seed, link) in links.into_iter().enumerate() {
        transfers.spawn(async move {
            let (near, far, ended) = link.split();
            let (up, down) = (noise(seed as u64, LONG), noise(99, LONG));
            let (at_near, at_far) = tokio::join!(
                send_and_receive(near, up.clone()),
                send_and_receive(far, down.clone()),
            );
            assert!(at_near.1 == down && at_far.1 == up);
            ended.assert_finished(LONG, LONG).await;
        });
    }
    while let Some(transfer) = transfers.join_next().await {
        transfer.unwrap();
    }
    descriptors::set_limit(limit);
}
