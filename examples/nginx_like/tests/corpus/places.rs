//! The addresses and paths of a case while it runs.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use socket2::{Domain, Socket, Type};
use test_support::dns::DnsServer;

use crate::case::{Case, PlaceKind};

/// The time to live of DNS records, in seconds.
const TTL: u32 = 60;

/// What replaces the addresses and paths of a case.
pub(crate) struct Places {
    root: PathBuf,
    addrs: BTreeMap<String, SocketAddr>,
    /// Words of the configuration, and what replaces them.
    words: Vec<(String, String)>,
    /// Sockets that hold the ports without listening.
    _held: Vec<Socket>,
    _names: Vec<DnsServer>,
}

impl Places {
    pub(crate) fn of(case: &Case, root: &Path) -> io::Result<Self> {
        let mut places = Self {
            root: root.to_owned(),
            addrs: BTreeMap::new(),
            words: Vec::new(),
            _held: Vec::new(),
            _names: Vec::new(),
        };
        for place in &case.places {
            let addr = match &place.kind {
                PlaceKind::Names(names) => {
                    let server = DnsServer::start();
                    for name in names {
                        server.set(name, TTL, &[Ipv4Addr::LOCALHOST.into()]);
                    }
                    let addr = server.addr();
                    places._names.push(server);
                    addr
                }
                _ => places.hold(place.word.starts_with('['))?,
            };
            places.words.push((place.word.clone(), addr.to_string()));
            places.addrs.insert(place.name.clone(), addr);
        }
        for (word, value) in &case.replaced {
            let value = places.fill(value);
            places.words.push((word.clone(), value));
        }
        Ok(places)
    }

    /// A free port, which no other process gets.
    fn hold(&mut self, is_ipv6: bool) -> io::Result<SocketAddr> {
        let host: IpAddr = match is_ipv6 {
            true => Ipv6Addr::LOCALHOST.into(),
            false => Ipv4Addr::LOCALHOST.into(),
        };
        let addr = SocketAddr::new(host, 0);
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&addr.into())?;
        let addr = socket.local_addr()?.as_socket().expect("an IP socket");
        self._held.push(socket);
        Ok(addr)
    }

    pub(crate) fn addr(&self, name: &str) -> Result<SocketAddr, String> {
        let addr = self.addrs.get(name).copied();
        addr.ok_or_else(|| format!("no address is named {name}"))
    }

    /// Replaces `{NAME}`, `{NAME.port}` and `{root}`.
    pub(crate) fn fill(&self, text: &str) -> String {
        let mut text = text.replace("{root}", &self.root.display().to_string());
        for (name, addr) in &self.addrs {
            text = text.replace(&format!("{{{name}}}"), &addr.to_string());
            text = text.replace(&format!("{{{name}.port}}"), &addr.port().to_string());
        }
        text
    }

    /// Where the file at `path` of the machine lies.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The text of a configuration, with addresses and absolute paths replaced.
    pub(crate) fn configuration(&self, text: &str) -> String {
        let is_end = |char: char| char.is_whitespace() || ";{}\"'".contains(char);
        let mut replaced = String::new();
        for piece in text.split_inclusive(is_end) {
            let word = piece.trim_end_matches(is_end);
            replaced += &self.word(word);
            replaced += &piece[word.len()..];
        }
        replaced
    }

    fn word(&self, word: &str) -> String {
        if let Some((_, value)) = self.words.iter().find(|(known, _)| known == word) {
            return value.clone();
        }
        let (scheme, path) = match word.strip_prefix("unix:") {
            Some(path) => ("unix:", path),
            None => ("", word),
        };
        if path.starts_with('/') && !path.starts_with("/dev/") {
            format!("{scheme}{}", self.path(path).display())
        } else {
            word.to_owned()
        }
    }
}
