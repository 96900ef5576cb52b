//! Reads configurations in the language of nginx.
//!
//! [`Config::load`] reads a file and all that it includes. The result is checked and complete: defaults and inheritance
//! are applied, and names of upstreams are looked up. Host names are not resolved.
//!
//! # How close it is to nginx
//!
//! The files are split into words, and lines are counted, exactly as nginx does it. Mistakes are reported in the words
//! of nginx. Where the two differ, nginx_like is strict or says what it leaves out:
//!
//! - A directive or a parameter that nginx has and nginx_like lacks is an error: `… is not supported yet`.
//!   [`ConfigError::is_not_supported`] tells it from a mistake.
//! - Directives that only tune how nginx works inside, such as `load_module`, `accept_mutex` or `proxy_buffer_size`, are
//!   accepted with a [`Warning`]. Their arguments are mostly not looked at.
//! - `events` may be missing. `worker_connections` is of all workers together: half their sum is how many clients are
//!   served at a time. Further ones wait in the system's queue instead of being closed, until a sixteenth of the
//!   places is free.
//! - `daemon on` does not leave the foreground, and `worker_processes` are threads of one process.
//! - `pid` has no default: without it no file is written, and `-s` has nobody to send signals to.
//! - On SIGHUP an `upstream` that says what it said before is not looked up again, unless a source of it fails. `user`,
//!   `worker_processes` and `worker_rlimit_nofile` stay until a restart, with a warning.
//! - With `user`, a small helper process stays the superuser, as nginx's master does. It reads the configuration again,
//!   opens logs and removes the pid file. The server keeps `CAP_NET_BIND_SERVICE` and nothing else. It reads kubeconfigs,
//!   their credentials and `resolv.conf` as `user`; `-t` and the start try that, as that user. A log behind a symbolic
//!   link that belongs to `user` is refused.
//! - A log whose reader or disk does not keep up holds up nothing: up to 4 MiB of messages wait for it, further ones
//!   are dropped, and a line in the log says how many. A message is cut after 64 KiB.
//! - A server is known by its address. One that is listed twice is one server with both weights; the other parameters are
//!   those of the first. Where two names have one address, the first counts.
//! - A message goes to every `error_log`, whichever block it stands in.
//! - `zone` is accepted and does nothing, because the workers share their state anyway. It needs no size.
//! - All names are looked up again when their time to live is over. As in nginx, `resolver` looks up the names of
//!   servers with `resolve`, and places that a `map` names; all others are looked up as the system does, with
//!   `/etc/hosts` and the search domains of `/etc/resolv.conf`. `resolve` needs neither `zone` nor `resolver`;
//!   without the latter the system looks the name up, too.
//! - Of one name at most 1024 addresses are used, and of one service at most 256 records. What is more is left out, with
//!   a warning in the log: the highest addresses, or the records of the highest priority values.
//! - A name server of `resolver` is given 2 s for an answer, or less where `resolver_timeout` says so; 0 sets no limit, as
//!   in nginx. Those of the system are given what `/etc/resolv.conf` says. A failure keeps the last addresses.
//! - `service` with an underscore at its start and no dot is not given a second underscore. Records of weight 0 get the
//!   small chance that RFC 2782 gives them.
//! - `resolver` takes IP addresses only. An `upstream` block may have its own; the one of a `server` block serves
//!   the `HOST:PORT` of its `proxy_pass`.
//! - Each worker has a listening socket of its own, with or without `reuseport`, which only lets other processes share
//!   the address.
//! - Sockets that systemd passes on (`LISTEN_FDS`) are taken for the `listen` with their address.
//! - `limit_conn_zone` takes `$binary_remote_addr` or `$remote_addr`, and has room for one client in 64 bytes, as nginx.
//!   A client that is refused by `limit_conn` or `deny` is reset instead of closed.
//! - A client without the PROXY protocol header that `listen` asks for is reset instead of closed, as is one whose header
//!   or TLS ClientHello is broken off, too long or too late.
//! - `set_real_ip_from` takes addresses and networks. `proxy_protocol v2` is of nginx 1.31.
//! - `map` goes by `$ssl_preread_server_name` and makes names of upstreams, or places as `proxy_pass` takes them, which
//!   are looked up at the start. It needs a `default`, and wildcards behind `hostnames`; regular expressions and an
//!   empty name are not supported. `proxy_pass` takes the variable of a map alone.
//! - With `proxy_half_close off`, the default, what was read for either side is delivered before the session ends. A side
//!   that still sends has 5 s to acknowledge its own last bytes; nginx closes at once, and the kernel may lose them.
//! - After a reset the other side gets the bytes that were acknowledged before, if it takes some within `proxy_timeout`,
//!   or within a minute if that is longer. The server is free meanwhile.
//! - An urgent byte (`MSG_OOB`) is dropped, as in nginx; what surrounds it arrives in order.
//! - `proxy_bind` takes an address without a port.
//! - `listen` takes IP addresses only, and an address may not overlap with a wildcard of the same port.
//! - `backup` is refused with `random` and `hash` even if they come later.
//! - The key of `hash` knows `$binary_remote_addr`, `$remote_addr`, `$remote_port`, `$server_addr` and `$server_port`.
//! - `hash` without `consistent` spreads keys as if a server that is `down` were not there; nginx hashes the keys of
//!   such a server again.
//! - `least_time` takes `connect` only.
//! - `kubernetes` and `kubernetes_pods` in an `upstream` block are ours: nginx has nothing like them.
//! - `proxy_timeout`, `proxy_connect_timeout`, `preread_timeout` and `proxy_protocol_timeout` of 0 are over at once, as in
//!   nginx, with a [`Warning`]. `worker_shutdown_timeout 0` is no limit, as in nginx.
//! - A message goes to `error_log` at the level that nginx has for the same: a client that gets no service is an
//!   `error`. The first ones of a kind are logged one by one, further ones as a count every ten seconds.
//! - A server that leads back to a listener is refused by `-t`, and served with an error in the log otherwise: a client
//!   comes through at most 16 own listeners in a row.
//! - A weight is at most 65535, and a time at most 100 years.
//! - A `worker_processes` or `worker_connections` of 0, or more than 1024 processes, are errors.
//! - Includes may be nested 32 deep, and all files together may have 64 MiB.
//! - A host must be an IP address in full or have the syntax of a DNS name; `10.0.0.256` and `10.1` are neither.
//! - Words must be valid UTF-8. Comments need not be.
//!
//! # How it works
//!
//! Each kind of block has a module in `scope` with a table of its directives. To add a directive, add a line to a
//! table: its name, the number of its arguments, and a closure that puts its value into the raw block. Then `resolve`
//! carries the value over to the [`Config`].
//!
//! # Examples
//!
//! ```
//! use std::path::Path;
//!
//! use nginx_like::config::Config;
//!
//! let text = b"
//!     stream {
//!         upstream nodes {
//!             server node1.example.com:446;
//!             server node2.example.com:446 weight=2;
//!         }
//!         server {
//!             listen 446;
//!             proxy_pass nodes;
//!         }
//!     }
//! ";
//! let config = Config::parse(Path::new("nginx.conf"), text, Path::new(""))?;
//! let stream = config.stream.expect("there is a stream block");
//! let server = &stream.servers[0];
//! assert_eq!(server.listens[0].addr.port(), 446);
//! assert_eq!(stream.upstreams[server.upstream].servers.len(), 2);
//! # Ok::<_, nginx_like::config::ConfigError>(())
//! ```

mod access;
pub(crate) mod blocks;
mod error_log;
mod events;
mod limit_conn;
mod listen;
mod main;
mod map;
mod model;
mod real_ip;
mod resolve;
mod resolver;
mod server;
mod settings;
mod stream;
pub(crate) mod unsupported;
pub(crate) mod upstream;

use std::{path::Path, sync::Arc};

use self::main::MainBlock;
pub use self::model::{
    AccessRule, AddressFamilies, ClientLimit, ClientZone, Config, ErrorLog, Host, Kubernetes,
    KubernetesBackends, KubernetesPort, Listen, LogLevel, LogTarget, Method, Resolver, Server,
    Stream, Upstream, UpstreamServer, User, WorkerProcesses,
};
pub use self::upstream::hash_key::HashKey;
pub use crate::syntax::error::{ConfigError, Span, Warning};
use crate::syntax::{
    include::Files,
    reader::{Reader, Session},
    recording::{Record, Source},
};

impl Config {
    /// Reads a configuration from a file.
    ///
    /// As in nginx, relative names start from `prefix`, but those of `include` from the directory of the file. An empty
    /// prefix means the current directory.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or the first mistake in the text.
    pub fn load(path: &Path, prefix: &Path) -> Result<Self, ConfigError> {
        Self::load_from(Source::Disk, path, prefix).1
    }

    /// Reads as [`load`](Self::load), and tells what reading it brought, to where the first mistake is.
    pub(crate) fn load_recorded(path: &Path, prefix: &Path) -> (Record, Result<Self, ConfigError>) {
        Self::load_from(Source::Recorded(Record::default()), path, prefix)
    }

    /// Reads what another process has recorded, and no file.
    pub(crate) fn replay(record: Record, path: &Path, prefix: &Path) -> Result<Self, ConfigError> {
        Self::load_from(Source::Replayed(record), path, prefix).1
    }

    fn load_from(
        source: Source,
        path: &Path,
        prefix: &Path,
    ) -> (Record, Result<Self, ConfigError>) {
        let path: Arc<Path> = prefix.join(path).into();
        let mut session = Session::new(Files::new(Arc::clone(&path), prefix, source));
        let bytes = session.files.read(&path);
        let config = bytes
            .map_err(|kind| ConfigError::new(kind, None))
            .and_then(|bytes| Self::read(path, &bytes, &mut session));
        (session.files.into_record(), config)
    }

    /// Reads a configuration from memory, as if it were in the file `path`. Includes are read from real files.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn parse(path: &Path, bytes: &[u8], prefix: &Path) -> Result<Self, ConfigError> {
        let path: Arc<Path> = prefix.join(path).into();
        let files = Files::new(Arc::clone(&path), prefix, Source::Disk);
        Self::read(path, bytes, &mut Session::new(files))
    }

    fn read(path: Arc<Path>, bytes: &[u8], session: &mut Session) -> Result<Self, ConfigError> {
        let mut main = MainBlock::default();
        Reader::new(path, bytes, session).read_file(&mut main)?;
        resolve::config(main, std::mem::take(&mut session.warnings))
    }
}
