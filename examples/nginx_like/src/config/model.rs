//! A configuration as the server uses it: checked, with all defaults and inheritance applied.

use std::{
    net::{IpAddr, SocketAddr},
    num::{NonZeroU16, NonZeroU32, NonZeroUsize},
    path::{Path, PathBuf},
    time::Duration,
};

use lb_proxy::proxy_protocol::{TrustedNetworks, Version};
use lb_proxy::server_names::ServerNames;
use lb_proxy::{Keepalive, Network};

use super::{HashKey, Span, Warning};

/// A whole configuration.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Who the server runs as: `user`.
    pub user: Option<User>,
    /// `worker_processes`, one by default.
    pub worker_processes: WorkerProcesses,
    /// `worker_rlimit_nofile`: the limit on open files.
    pub worker_rlimit_nofile: Option<u64>,
    /// `worker_shutdown_timeout`: how long SIGQUIT waits for connections. For ever by default, and with 0.
    pub worker_shutdown_timeout: Option<Duration>,
    /// `error_log` of the main level. If there is none, the server chooses.
    pub error_logs: Vec<ErrorLog>,
    /// `pid`: the file for the process id.
    pub pid: Option<PathBuf>,
    /// `daemon`, if it was written. The default of nginx is `on`.
    pub daemon: Option<bool>,
    /// `worker_connections`, 512 by default: how many connections one worker holds, those to backends included.
    pub worker_connections: NonZeroU32,
    /// The `stream` block.
    pub stream: Option<Stream>,
    /// What was accepted with reservations.
    pub warnings: Vec<Warning>,
}

/// The arguments of `user`. Whether they exist is not checked.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct User {
    /// The user.
    pub name: String,
    /// The group. Without it, nginx takes the group with the name of the user.
    pub group: Option<String>,
    /// The place of the directive.
    pub span: Span,
}

/// The number of workers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkerProcesses {
    /// One for each processor.
    Auto,
    /// A fixed number, at most 1024.
    Count(NonZeroUsize),
}

/// One destination of log messages.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ErrorLog {
    /// Where messages go.
    pub target: LogTarget,
    /// The least severe level that is written, `error` by default.
    pub level: LogLevel,
    /// The place of the directive.
    pub span: Span,
}

/// Where log messages go.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum LogTarget {
    /// The file at this path.
    File(PathBuf),
    /// The standard error stream.
    Stderr,
}

/// How severe a log message is; a greater level is more severe.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names of nginx")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warn,
    Error,
    Crit,
    Alert,
    Emerg,
}

/// The `stream` block.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stream {
    /// The `upstream` blocks in the order of the text, then those that `proxy_pass HOST:PORT` makes by itself.
    pub upstreams: Vec<Upstream>,
    /// `limit_conn_zone`: where clients are counted.
    pub client_zones: Vec<ClientZone>,
    /// The `server` blocks in the order of the text.
    pub servers: Vec<Server>,
}

/// A `limit_conn_zone` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClientZone {
    /// The name of the zone.
    pub name: String,
    /// How many clients it has room for: in nginx each takes 64 bytes.
    pub clients: NonZeroUsize,
    /// The place of the directive.
    pub span: Span,
}

/// A `limit_conn` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClientLimit {
    /// The name of a zone of [`Stream::client_zones`].
    pub zone: String,
    /// How many connections of those that the zone counts each client may have.
    pub sessions: NonZeroU32,
    /// The place of the directive.
    pub span: Span,
}

/// An `allow` or `deny` directive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct AccessRule {
    /// Whom it is about.
    pub network: Network,
    /// Whether it lets them in.
    pub allows: bool,
}

/// A named group of servers to balance between.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Upstream {
    /// The name of the block, or the argument of the `proxy_pass` that made the upstream.
    pub name: String,
    /// How a server is chosen.
    pub method: Method,
    /// The servers; at least one is no backup, unless there is something of Kubernetes.
    pub servers: Vec<UpstreamServer>,
    /// `kubernetes` and `kubernetes_pods`; their backends come after the servers.
    pub kubernetes: Vec<Kubernetes>,
    /// `resolver`, which looks up the host names of the servers with `resolve`. Without it, the system does.
    pub resolver: Option<Resolver>,
    /// `resolver_timeout`, 30 s by default. Zero means that it sets no limit.
    pub resolver_timeout: Duration,
    /// The place of the block or of the `proxy_pass`.
    pub span: Span,
}

impl Upstream {
    /// Whether `other` differs from it in its place at the most.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        self.without_places() == other.without_places()
    }

    fn without_places(&self) -> Self {
        let mut upstream = self.clone();
        let servers = upstream.servers.iter_mut().map(|server| &mut server.span);
        let kubernetes = upstream.kubernetes.iter_mut().map(|line| &mut line.span);
        let resolver = upstream.resolver.iter_mut().map(|line| &mut line.span);
        let nowhere = Span {
            file: Path::new("").into(),
            line: 0,
        };
        for span in servers.chain(kubernetes).chain(resolver) {
            *span = nowhere.clone();
        }
        upstream.span = nowhere;
        upstream
    }
}

/// A load balancing method.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// The default: in turn, by weight.
    RoundRobin,
    /// `hash`: by a key of the connection.
    Hash {
        /// What the key is made of.
        key: HashKey,
        /// `consistent`: on a ketama ring, so that few keys move when the servers change.
        consistent: bool,
    },
    /// `least_conn`: the fewest connections for its weight.
    LeastConn,
    /// `least_time connect`: the shortest expected time to connect, for its connections and weight.
    LeastTime,
    /// `random`: at random, by weight.
    Random,
    /// `random two` or `random two least_conn`: the better of two random ones.
    RandomTwo,
}

/// A `server` of an `upstream` block.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct UpstreamServer {
    /// The host.
    pub host: Host,
    /// The TCP port; 0 for a service, whose records name the ports.
    pub port: u16,
    /// `weight`, 1 by default. For a service 1 means the weights of its records.
    pub weight: NonZeroU16,
    /// `max_fails`, 1 by default: failures within `fail_timeout` that take the server out. With 0 it never is.
    pub max_fails: u32,
    /// `fail_timeout`, 10 s by default: also how long the server stays out.
    pub fail_timeout: Duration,
    /// `max_conns`: the limit on connections at a time.
    pub max_conns: Option<NonZeroU32>,
    /// `backup`: used only when no other server can be.
    pub backup: bool,
    /// `down`: never used.
    pub down: bool,
    /// `resolve`: the `resolver` looks the host name up. Without it, the system does.
    pub resolve: bool,
    /// The place of the directive.
    pub span: Span,
}

/// A `kubernetes` or `kubernetes_pods` of an `upstream` block.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Kubernetes {
    /// The namespace.
    pub namespace: String,
    /// What in it.
    pub backends: KubernetesBackends,
    /// `kubeconfig`: the file that says how to reach the cluster. Without it, the cluster that nginx_like runs in, else
    /// `$KUBECONFIG` or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// `context`: a context of the kubeconfig instead of its current one.
    pub context: Option<String>,
    /// The place of the directive.
    pub span: Span,
}

/// What of a namespace are backends.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KubernetesBackends {
    /// `kubernetes … address=node`: the nodes of the cluster, at the node port of a Service.
    Nodes {
        /// The Service.
        service: String,
        /// `port`, of the Service; its only one by default.
        port: Option<KubernetesPort>,
    },
    /// `kubernetes_pods`: pods on ports of their nodes.
    Pods {
        /// The label selector.
        selector: String,
        /// `port`, of the pods or of their nodes.
        port: KubernetesPort,
    },
    /// `kubernetes … address=pod`, the default: the pods of a Service.
    Service {
        /// The Service.
        service: String,
        /// `port`, of the Service; its only one by default.
        port: Option<KubernetesPort>,
    },
}

/// The `port` of a `kubernetes` or `kubernetes_pods`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum KubernetesPort {
    /// By name.
    Name(String),
    /// By number.
    Number(u16),
}

/// A host to connect to.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Host {
    /// An IP address.
    Ip(IpAddr),
    /// A name with the syntax of a DNS name.
    Name(String),
    /// The name of the SRV records that `service` and the host make.
    Service(String),
}

/// The arguments of `resolver`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Resolver {
    /// The name servers; at least one.
    pub name_servers: Vec<SocketAddr>,
    /// `valid`: how long an answer is used, instead of its own time to live.
    pub valid: Option<Duration>,
    /// Which addresses are looked up: `ipv4` and `ipv6`.
    pub families: AddressFamilies,
    /// The place of the directive.
    pub span: Span,
}

/// Which families of addresses a resolver asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddressFamilies {
    /// The default.
    Both,
    /// `ipv6=off`
    Ipv4,
    /// `ipv4=off`
    Ipv6,
}

/// A `server` block of the `stream` block.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Server {
    /// Where it listens; at least one address, and none that another server has.
    pub listens: Vec<Listen>,
    /// The upstream that `proxy_pass` or the default of its map names, as an index into [`Stream::upstreams`].
    pub upstream: usize,
    /// What a map that `proxy_pass` names has instead for names of servers, if `ssl_preread` tells them.
    pub by_name: ServerNames<usize>,
    /// `proxy_connect_timeout`, 60 s by default. With 0 every attempt times out.
    pub connect_timeout: Duration,
    /// `proxy_timeout`, 10 minutes by default: how long a session may be idle. With 0 it ends at once.
    pub timeout: Duration,
    /// `proxy_next_upstream`, on by default: whether another server is tried if a connection fails.
    pub next_upstream: bool,
    /// `proxy_next_upstream_tries`: how many servers are tried, the first included. Unlimited by default.
    pub next_upstream_tries: Option<NonZeroU32>,
    /// `proxy_next_upstream_timeout`: for how long servers are tried. Unlimited by default.
    pub next_upstream_timeout: Option<Duration>,
    /// `tcp_nodelay`, on by default.
    pub tcp_nodelay: bool,
    /// `proxy_socket_keepalive`, off by default: whether silent connections to servers are probed.
    pub socket_keepalive: bool,
    /// `proxy_bind`: where connections to servers come from. The system chooses by default.
    pub bind: Option<IpAddr>,
    /// `proxy_half_close`, off by default: whether one direction goes on when the other has ended.
    pub half_close: bool,
    /// `proxy_protocol`, off by default: the version of the header that servers get.
    pub proxy_protocol: Option<Version>,
    /// `proxy_protocol_timeout`, 30 s by default: how long the header of a client may take.
    pub proxy_protocol_timeout: Duration,
    /// `set_real_ip_from`, its own, else those of the `stream` block: whose headers tell the client's address.
    pub real_ip_from: TrustedNetworks,
    /// `ssl_preread`, off by default: whether the name is read that a client's TLS asks for.
    pub ssl_preread: bool,
    /// `preread_buffer_size`, 16k by default: how much is read in search of it.
    pub preread_buffer_size: usize,
    /// `preread_timeout`, 30 s by default: how long that may take.
    pub preread_timeout: Duration,
    /// `allow` and `deny`, the first that fits counts: its own, else those of the `stream` block.
    pub access: Vec<AccessRule>,
    /// `limit_conn`: its own, else those of the `stream` block.
    pub client_limits: Vec<ClientLimit>,
    /// `error_log`: its own, else those of the `stream` block, else those of the main level.
    pub error_logs: Vec<ErrorLog>,
    /// The place of the block.
    pub span: Span,
}

/// A `listen` directive.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Listen {
    /// The address to bind.
    pub addr: SocketAddr,
    /// `backlog`, 511 by default: the length of the queue of new connections.
    pub backlog: u32,
    /// `ipv6only`, on by default: whether an IPv6 socket refuses IPv4. It means nothing for an IPv4 address.
    pub ipv6only: bool,
    /// `reuseport`: other processes may listen on the address too. Each worker has a socket in any case.
    pub reuseport: bool,
    /// `proxy_protocol`: every connection must begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// `so_keepalive`: whether silent clients are probed, and how. As the system does by default.
    pub so_keepalive: Option<Keepalive>,
    /// The place of the directive.
    pub span: Span,
}
