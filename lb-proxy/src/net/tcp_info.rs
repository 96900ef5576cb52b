//! The kernel's figures of a TCP connection.

use std::io;
use std::time::Duration;

use super::stream::Stream;

/// What the kernel reports of a TCP connection at one moment (`TCP_INFO`). Segments are counted by the kernel.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[doc(alias = "tcpinfo_rtt")]
pub struct TcpInfo {
    /// The smoothed round-trip time.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub rtt: Duration,
    /// The variation of the round-trip time.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "lb_core::serde_form::seconds")
    )]
    pub rtt_variation: Duration,
    /// The congestion window, in segments.
    pub congestion_window: u32,
    /// Segments that are sent and not acknowledged; a FIN counts.
    pub unacknowledged: u32,
    /// Segments that were sent since the connection began, retransmitted ones included.
    pub sent: u32,
    /// Segments that were retransmitted since the connection began.
    pub retransmitted: u32,
    /// How often the oldest unacknowledged segment was retransmitted after a time-out: above 0 while the peer does not
    /// answer.
    pub timeouts: u8,
    /// Unanswered probes of a window of zero bytes.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) probes: u8,
    /// How long ago the kernel last sent new bytes.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) last_sent: Duration,
    /// Bytes that wait in the kernel's queue for their first transmission.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub(crate) unsent: u32,
}

#[cfg(any(target_os = "android", target_os = "linux"))]
mod option {
    use std::io;
    use std::time::Duration;

    use nix::libc;
    use nix::{getsockopt_impl, sockopt_impl};

    use super::TcpInfo;
    use crate::net::stream::Stream;

    /// The first words of the kernel's `struct tcp_info`, up to `tcpi_notsent_bytes`, which Linux has since 4.6.
    type Words = [u32; 37];

    /// The state of a connection that has ended, in `linux/tcp.h` and `tcp_states.h`.
    const TCP_CLOSE: u8 = 7;

    sockopt_impl!(
        /// The state of a TCP connection.
        TcpInfoOption,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Words
    );

    pub(super) fn read(stream: &Stream) -> io::Result<TcpInfo> {
        let words = nix::sys::socket::getsockopt(stream, TcpInfoOption)?;
        // `tcpi_state`, `tcpi_ca_state`, `tcpi_retransmits` and `tcpi_probes`, a byte each.
        let [state, _, timeouts, probes] = words[0].to_ne_bytes();
        let micros = |word: usize| Duration::from_micros(words[word].into());
        Ok(TcpInfo {
            timeouts,
            probes,
            unacknowledged: words[6],
            last_sent: Duration::from_millis(words[11].into()),
            rtt: micros(17),
            rtt_variation: micros(18),
            congestion_window: words[20],
            retransmitted: words[25],
            sent: words[34],
            // A reset empties the queue, but not this count.
            unsent: if state == TCP_CLOSE { 0 } else { words[36] },
        })
    }
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
mod option {
    use std::io;

    pub(super) fn read(_: &super::Stream) -> io::Result<super::TcpInfo> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl TcpInfo {
    /// Reads the state of `stream` by one system call. An error for a unix socket, and on systems without `TCP_INFO`.
    pub(crate) fn of(stream: &Stream) -> io::Result<Self> {
        if stream.is_unix() {
            return Err(io::ErrorKind::Unsupported.into());
        }
        option::read(stream)
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use socket2::SockRef;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[cfg(feature = "serde")]
    #[test]
    fn figures_are_written_with_times_in_seconds() {
        let info = TcpInfo {
            rtt: Duration::from_micros(1500),
            rtt_variation: Duration::from_micros(250),
            congestion_window: 10,
            unacknowledged: 2,
            sent: 12,
            retransmitted: 1,
            timeouts: 3,
            probes: 4,
            last_sent: Duration::from_secs(5),
            unsent: 6,
        };
        let expected = serde_json::json!({
            "rtt": 0.0015, "rtt_variation": 0.00025, "congestion_window": 10, "unacknowledged": 2, "sent": 12,
            "retransmitted": 1, "timeouts": 3,
        });
        assert_eq!(serde_json::to_value(info).unwrap(), expected);
    }

    #[tokio::test]
    async fn the_words_of_the_kernel_are_those_of_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sent = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let mut received = listener.accept().await.unwrap().0;
        for _ in 0..10 {
            sent.write_all(b"x").await.unwrap();
            received.read_u8().await.unwrap();
            received.write_all(b"y").await.unwrap();
            sent.read_u8().await.unwrap();
        }
        let info = TcpInfo::of(&sent.into()).unwrap();
        // SYN, ACK and ten segments of data; the acknowledgements travel with the answers, or alone.
        assert!((11..40).contains(&info.sent), "{info:?}");
        assert!(
            info.rtt > Duration::ZERO && info.rtt < Duration::from_secs(5),
            "{info:?}"
        );
        assert!(info.rtt_variation < Duration::from_secs(5), "{info:?}");
        assert!((1..1000).contains(&info.congestion_window), "{info:?}");
        assert_eq!((info.unsent, info.probes), (0, 0), "{info:?}");
        assert!(info.retransmitted <= info.sent, "{info:?}");
    }

    #[tokio::test]
    async fn nothing_waits_in_the_queue_of_a_connection_that_was_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        let receiver = listener.accept().await.unwrap().0;
        sender.writable().await.unwrap();
        // More than the receiver's window.
        while sender.try_write(&[7; 1 << 16]).is_ok() {}
        let sender = Stream::from(sender);
        assert!(TcpInfo::of(&sender).unwrap().unsent > 0);
        SockRef::from(&receiver)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(receiver);
        sender.ready(tokio::io::Interest::ERROR).await.unwrap();
        let info = TcpInfo::of(&sender).unwrap();
        assert_eq!((info.unsent, info.unacknowledged), (0, 0), "{info:?}");
    }
}
