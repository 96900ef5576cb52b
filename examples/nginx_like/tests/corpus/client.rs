//! Clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use std::{io, iter};

use test_support::client_hello::ClientHello;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::places::Places;
use crate::words;

/// What a client sends if it waits for the backend.
const PING: &str = "ping\n";

/// How long an answer may take. Far longer than it takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Client {
    listen: String,
    pub(crate) source: Option<Ipv4Addr>,
    /// A PROXY header.
    header: String,
    send: Option<String>,
    hello: Option<String>,
    alpn: String,
    is_tls12: bool,
}

/// What a client saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Refused,
    /// The end of the connection without a byte.
    Closed,
    /// A backend, and what it got besides the bytes of the client.
    Backend {
        name: String,
        got: String,
    },
    /// Something else, to the end.
    Text(String),
}

impl Client {
    pub(crate) fn of(listen: &str) -> Self {
        Self {
            listen: listen.to_owned(),
            ..Self::default()
        }
    }

    /// Adds an option of a step.
    pub(crate) fn add(&mut self, option: &str) -> Result<(), String> {
        let (key, value) = option
            .split_once('=')
            .ok_or_else(|| format!("unknown option {option}"))?;
        let owned = value.to_owned();
        match key {
            "from" => {
                self.source = Some(value.parse().map_err(|_| format!("no address: {value}"))?)
            }
            "send" => self.send = Some(owned),
            "hello" => self.hello = Some(owned),
            "alpn" => self.alpn = owned,
            "tls" => self.is_tls12 = value == "1.2",
            "proxy" => self.header = owned,
            _ => return Err(format!("unknown option {option}")),
        }
        Ok(())
    }

    /// The bytes that it sends first, behind the PROXY header.
    fn first_bytes(&self, places: &Places) -> Option<Vec<u8>> {
        let sent = self
            .send
            .as_ref()
            .map(|send| words::bytes(&places.fill(send)));
        let hello = self.hello.as_ref().map(|name| {
            let alpn: Vec<_> = self
                .alpn
                .split(',')
                .filter(|name| !name.is_empty())
                .collect();
            let hello = ClientHello {
                name,
                alpn: &alpn,
                is_tls13: !self.is_tls12,
                len: 0,
            };
            hello.bytes()
        });
        sent.or(hello)
    }

    /// Connects, and returns what it saw, and the connection to a backend. A client that does not get all bytes of a backend is
    /// an error.
    pub(crate) async fn ask(
        &self,
        places: &Places,
        backends: &[String],
    ) -> Result<(Seen, Option<BufReader<TcpStream>>), String> {
        let asked = timeout(PATIENCE, self.try_ask(places, backends)).await;
        asked.map_err(|_| "no answer in time".to_owned())?
    }

    async fn try_ask(
        &self,
        places: &Places,
        backends: &[String],
    ) -> Result<(Seen, Option<BufReader<TcpStream>>), String> {
        let addr = places.addr(&self.listen)?;
        let mut stream = match self.connect(addr).await {
            Ok(stream) => BufReader::new(stream),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Ok((Seen::Refused, None));
            }
            Err(error) if is_closed(&error) => return Ok((Seen::Closed, None)),
            Err(error) => return Err(format!("connect: {error}")),
        };
        let first = self.first_bytes(places);
        let mut sent = words::bytes(&places.fill(&self.header));
        sent.extend(first.iter().flatten());
        // The balancer may have closed already.
        let _ = stream.write_all(&sent).await;
        let mut line = Vec::new();
        match stream.read_until(b'\n', &mut line).await {
            Ok(_) => {}
            Err(error) if is_closed(&error) => {}
            Err(error) => return Err(format!("read: {error}")),
        }
        if line.is_empty() {
            return Ok((Seen::Closed, None));
        }
        let name = words::text(&line);
        let name = name.trim_end_matches('\n');
        if !backends.iter().any(|backend| backend == name) {
            let _ = stream.read_to_end(&mut line).await;
            return Ok((Seen::Text(words::text(&line)), None));
        }
        let own = match first {
            Some(first) => first,
            None => {
                let ping = stream.write_all(PING.as_bytes()).await;
                ping.map_err(|error| format!("{name}: write: {error}"))?;
                PING.into()
            }
        };
        let got = read_echo(&mut stream, &own).await;
        let got = got.map_err(|error| format!("{name}: {error}"))?;
        let name = name.to_owned();
        Ok((Seen::Backend { name, got }, Some(stream)))
    }

    async fn connect(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        let socket = match addr.is_ipv4() {
            true => TcpSocket::new_v4()?,
            false => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.source {
            socket.bind((source, 0).into())?;
        }
        socket.connect(addr).await
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    )
}

/// Reads what a backend returns up to the client's `own` bytes, and returns what it got before them.
async fn read_echo(stream: &mut BufReader<TcpStream>, own: &[u8]) -> Result<String, String> {
    let mut got = Vec::new();
    while !got.ends_with(own) {
        let read = stream.read_buf(&mut got).await;
        match read {
            Ok(1..) => {}
            Ok(0) => return Err(format!("the end after {:?}", words::text(&got))),
            Err(error) => return Err(format!("{error} after {:?}", words::text(&got))),
        }
    }
    got.truncate(got.len() - own.len());
    Ok(words::text(&got))
}

impl Seen {
    /// The word of an expectation.
    pub(crate) fn word(&self) -> String {
        match self {
            Self::Refused => "refused".to_owned(),
            Self::Closed => "closed".to_owned(),
            Self::Backend { name, got } if got.is_empty() => name.clone(),
            Self::Backend { name, got } => format!("{name}, which got {got:?}"),
            Self::Text(text) => format!("the text {text:?}"),
        }
    }
}

/// What all `clients` see, one after another.
pub(crate) async fn ask_all(
    clients: &[Client],
    places: &Places,
    backends: &[String],
) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    for (client, number) in iter::zip(clients, 1..) {
        let answer = client.ask(places, backends).await;
        seen.push(
            answer
                .map_err(|error| format!("client {number}: {error}"))?
                .0,
        );
    }
    Ok(seen)
}
