//! Errors and warnings, and the place in a file they point to.

use std::{
    error::Error,
    fmt, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{address::AddressError, include::MAX_DEPTH};
use crate::config::upstream::hash_key::KeyError;

/// A line of a configuration file.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Span {
    /// The file as it was opened.
    pub file: Arc<Path>,
    /// The line, from 1.
    ///
    /// For a directive this is the line of the `;` or `{` that ends it, as nginx counts.
    pub line: usize,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The reason why a configuration cannot be used.
///
/// It displays as `MESSAGE in FILE:LINE`, in the words of nginx wherever nginx has the same error. The place is
/// missing only if the main file itself cannot be read.
#[derive(Debug)]
pub struct ConfigError {
    kind: ErrorKind,
    span: Option<Span>,
}

impl ConfigError {
    pub(crate) fn new(kind: ErrorKind, span: Option<Span>) -> Self {
        Self { kind, span }
    }

    /// Returns the place of the error.
    pub fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    /// Tells a valid nginx feature that nginx_like lacks from a mistake in the file.
    pub fn is_not_supported(&self) -> bool {
        match &self.kind {
            ErrorKind::HashKey(KeyError::NotSupported(_))
            | ErrorKind::HttpBlock
            | ErrorKind::ListenOverlap { .. }
            | ErrorKind::NoMapDefault
            | ErrorKind::NotSupported { .. }
            | ErrorKind::NotSupportedLogTarget { .. }
            | ErrorKind::NotSupportedMapKey { .. }
            | ErrorKind::NotSupportedParameter { .. }
            | ErrorKind::WeightTooLarge { .. } => true,
            ErrorKind::ListenAddress { reason, .. }
            | ErrorKind::ResolverAddress { reason, .. }
            | ErrorKind::UpstreamAddress { reason, .. } => reason.is_not_supported(),
            _ => false,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        match &self.span {
            Some(span) => write!(f, " in {span}"),
            None => Ok(()),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.kind.source()
    }
}

/// What is wrong. A variant without a comment is worded as in nginx.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorKind {
    #[error("balancing method does not support parameter \"backup\"")]
    BackupNotSupported,
    #[error("\"{name}\" directive is duplicate")]
    DuplicateDirective { name: String },
    #[error("limit_conn_zone \"{zone}\" is already bound to key")]
    DuplicateClientZone { zone: String },
    #[error("duplicate \"{addr}\" address and port pair")]
    DuplicateListen { addr: SocketAddr },
    #[error("the duplicate \"{name}\" variable")]
    DuplicateVariable { name: String },
    #[error("duplicate log level \"{level}\"")]
    DuplicateLogLevel { level: String },
    #[error("duplicate default map parameter")]
    DuplicateMapDefault,
    #[error("duplicate upstream \"{name}\"")]
    DuplicateUpstream { name: String },
    #[error("glob() \"{pattern}\" failed ({reason})")]
    Glob { pattern: String, reason: String },
    #[error(transparent)]
    HashKey(KeyError),
    /// Ours: nginx calls it an unknown directive if it was built without http.
    #[error("the \"http\" block is not supported, nginx_like only does \"stream\"")]
    HttpBlock,
    /// Ours: nginx runs out of file descriptors.
    #[error("\"{}\" includes itself", path.display())]
    IncludeCycle { path: PathBuf },
    /// Ours, as above.
    #[error("includes are nested more than {MAX_DEPTH} deep")]
    IncludeDepth,
    #[error("invalid {what} \"{value}\"")]
    Invalid { what: &'static str, value: String },
    #[error("invalid number of arguments in \"{name}\" directive")]
    InvalidArity { name: String },
    #[error("invalid address \"{address}\"")]
    InvalidBindAddress { address: String },
    #[error("invalid value \"{value}\" in \"{name}\" directive, it must be \"on\" or \"off\"")]
    InvalidFlag { name: String, value: String },
    #[error("the invalid \"{parameter}\" parameter")]
    InvalidListenParameter { parameter: String },
    #[error("\"{name}\" directive invalid number")]
    InvalidNumber { name: String },
    #[error("invalid parameter: {parameter}")]
    InvalidResolverParameter { parameter: String },
    #[error("\"{name}\" directive invalid value")]
    InvalidValue { name: String },
    #[error("{reason} in \"{url}\" of the \"listen\" directive")]
    ListenAddress { reason: AddressError, url: String },
    /// Ours: nginx listens on the wildcard only and sorts the connections by their local address.
    #[error("\"{addr}\" overlaps \"{other}\", which is not supported yet")]
    ListenOverlap { addr: SocketAddr, other: SocketAddr },
    #[error("invalid number of the map parameters")]
    MapArity,
    #[error("conflicting parameter \"{name}\"")]
    MapConflict { name: String },
    #[error("invalid hostname or wildcard \"{name}\"")]
    MapHostname { name: String },
    #[error("too long parameter, probably missing terminating \"{quote}\" character")]
    MissingQuote { quote: char },
    #[error("no handler for server")]
    NoHandler,
    #[error("no \"listen\" is defined for server")]
    NoListen,
    /// Ours, as all of Kubernetes.
    #[error("no namespace in \"{value}\", it must be NAMESPACE/{}", what.to_uppercase().replace(' ', "_"))]
    NoNamespace { what: &'static str, value: String },
    #[error("no name servers defined")]
    NoNameServers,
    #[error("\"ipv4\" and \"ipv6\" cannot both be \"off\"")]
    NoResolverFamily,
    /// Ours.
    #[error("no \"port=\" in \"kubernetes_pods\" directive")]
    NoPodPort,
    #[error("no servers in upstream \"{upstream}\"")]
    NoServers { upstream: String },
    #[error("no servers are inside upstream")]
    NoServersInside,
    #[error("\"{name}\" directive is not allowed here")]
    NotAllowedHere { name: String },
    #[error("directive \"{name}\" has no opening \"{{\"")]
    NotOpened { name: String },
    /// Ours: nginx would close the connections of all other names.
    #[error("a map without \"default\" is not supported yet")]
    NoMapDefault,
    /// Ours.
    #[error("the \"{name}\" directive is not supported yet")]
    NotSupported { name: String },
    /// Ours.
    #[error("logging to \"{target}\" is not supported yet")]
    NotSupportedLogTarget { target: String },
    /// Ours.
    #[error(
        "\"{name}\" in a map is not supported yet: there are host names and, behind \"hostnames;\", wildcards"
    )]
    NotSupportedMapKey { name: String },
    /// Ours.
    #[error("the \"{parameter}\" parameter of the \"{name}\" directive is not supported yet")]
    NotSupportedParameter { name: String, parameter: String },
    #[error("directive \"{name}\" is not terminated by \";\"")]
    NotTerminated { name: String },
    /// Ours: nginx works on bytes.
    #[error("\"{text}\" is not valid UTF-8")]
    NotUtf8 { text: String },
    #[error("open() \"{}\" failed ({})", path.display(), Os(source))]
    Open { path: PathBuf, source: io::Error },
    #[error("upstream \"{upstream}\" may not have port {port}")]
    PortOnUpstream { upstream: String, port: u16 },
    #[error("read() \"{}\" failed ({})", path.display(), Os(source))]
    Read { path: PathBuf, source: io::Error },
    #[error("{reason} in resolver \"{url}\"")]
    ResolverAddress { reason: AddressError, url: String },
    #[error("service is empty")]
    ServiceEmpty,
    #[error("service upstream \"{url}\" may not have port")]
    ServiceWithPort { url: String },
    #[error("service upstream \"{url}\" requires domain name")]
    ServiceWithoutName { url: String },
    #[error("service upstream \"{url}\" requires \"resolve\" parameter")]
    ServiceWithoutResolve { url: String },
    /// Ours.
    #[error("\"{}\" makes the configuration too large", path.display())]
    TooLarge { path: PathBuf },
    #[error("too long parameter \"{start}...\" started")]
    TooLong { start: String },
    #[error("connection limit must be less 65536")]
    TooManyConnections,
    #[error("unexpected end of file, expecting \"}}\"")]
    UnclosedBlock,
    #[error("unexpected \"{0}\"")]
    Unexpected(char),
    #[error("unexpected end of file, expecting \";\" or \"}}\"")]
    UnexpectedEnd,
    #[error("zero size shared memory zone \"{zone}\"")]
    UnknownClientZone { zone: String },
    #[error("unknown directive \"{name}\"")]
    UnknownDirective { name: String },
    #[error("unknown \"{name}\" variable")]
    UnknownVariable { name: String },
    #[error("{reason} in upstream \"{url}\"")]
    UpstreamAddress { reason: AddressError, url: String },
    /// Ours: nginx takes any weight that fits its integers.
    #[error("a weight over 65535 is not supported in \"{parameter}\"")]
    WeightTooLarge { parameter: String },
    #[error("zone \"{zone}\" is too small")]
    ZoneTooSmall { zone: String },
}

/// Shows an operating system error as nginx does: number first.
pub(crate) struct Os<'a>(pub(crate) &'a io::Error);

impl fmt::Display for Os<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match self.0.raw_os_error() {
            Some(code) => {
                let end = format!(" (os error {code})");
                write!(f, "{code}: {}", text.strip_suffix(&end).unwrap_or(&text))
            }
            None => f.write_str(&text),
        }
    }
}

/// Something in the configuration that works, but not as one could expect.
///
/// It displays as `MESSAGE in FILE:LINE`.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Warning {
    pub(crate) kind: WarningKind,
    /// The place that the warning is about.
    pub span: Span,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.kind, self.span)
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum WarningKind {
    #[error("load balancing method redefined")]
    MethodRedefined,
    #[error("the \"{name}\" directive has no effect here")]
    NoEffect { name: String },
    #[error("the \"{parameter}\" parameter has no effect here")]
    NoEffectParameter { parameter: String },
    #[error("the resolver of this server has no effect on upstream \"{upstream}\"")]
    ResolverUnused { upstream: String },
    #[error(
        "the resolver of upstream \"{upstream}\" has no effect: no server has a name and \"resolve\""
    )]
    ResolverWithoutResolve { upstream: String },
    #[error("a time-out of 0 ends at once and is not off: \"{name} 0\"")]
    ZeroTimeout { name: String },
}
