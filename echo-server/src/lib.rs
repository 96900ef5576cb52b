//! Answers every line with the host's name and the line.
//!
//! So a client of a load balancer sees which node it reached. The protocol:
//!
//! * `line\n` is answered with `<hostname>: line\n`. Bytes are opaque: they need not be UTF-8, and a line that
//!   ends with `\r\n` is answered with `\r\n`.
//! * A last line without a newline is answered when the client half-closes; that answer does end with one.
//!   Then the server closes its side.
//! * A line of more than [`LINE_LIMIT`] bytes, its newline included, is not collected: the server sends the prefix once
//!   and passes the line on unchanged while it arrives.
//! * The server stops reading from a client that does not read its answers. So a client that sends much must read while
//!   it sends.
//!
//! [`serve`] runs on any listener, for example in a test; [`serve_until`] also shuts down cleanly. The binary adds
//! [`listen`], both IP families on one port, and [`Hostname`], the machine's name.
//!
//! ```
//! use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
//! use tokio::net::{TcpListener, TcpStream};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let addr = listener.local_addr()?;
//! let node = tokio::spawn(echo_server::serve(listener, "node-1"));
//!
//! let mut client = BufReader::new(TcpStream::connect(addr).await?);
//! client.write_all(b"hello\n").await?;
//! let mut answer = String::new();
//! client.read_line(&mut answer).await?;
//! assert_eq!(answer, "node-1: hello\n");
//!
//! node.abort(); // the node goes down, and its connections with it
//! assert_eq!(client.read_line(&mut answer).await?, 0);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(no_crate_inject, attr(deny(warnings))))]

mod accept;
mod bind;
mod echo;
mod hostname;
mod server;

pub use bind::{ListenError, listen, listen_on};
pub use echo::LINE_LIMIT;
pub use hostname::{Hostname, HostnameError};
pub use server::{SHUTDOWN_GRACE, serve, serve_until};
