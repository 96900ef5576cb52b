//! Support for the tests of several crates, compiled once. Unpublished, and only ever a dev-dependency.
//!
//! | module | contents | feature |
//! |---|---|---|
//! | [`bytes`] | pseudo-random bytes of a seed | |
//! | [`client_hello`] | ClientHellos, the same bytes in every run | |
//! | [`deadline`] | futures and conditions that must come about in time | |
//! | [`descriptors`] | the descriptors of this process: counts and limits | |
//! | [`kernel`] | a connection as the kernel sees it, urgent data | |
//! | [`log`] | the log of a test's thread | |
//! | [`namespace`] | a network namespace: links, commands and threads in it | |
//! | [`namespaces`] | two network namespaces with a link between them | |
//! | [`nodes`] | backends that answer with their name, servers that health checks ask | |
//! | [`promtool`] | Prometheus' check of metrics | |
//! | [`sockets`] | addresses that are reserved, refuse or never answer | |
//! | [`streams`] | reading, writing and resetting connections | |
//! | [`dns`] | a DNS server, and a forger in front of it | `dns` |
//! | [`kubernetes`] | a Kubernetes API server and its objects | `kubernetes` |
//! | [`discovery`] | a running `Driver`, a source that follows a script | `discovery` |
//! | [`tls`] | the ClientHello of rustls, a server that completes handshakes | `tls` |
//! | [`proxy`] | a running `Proxy`, upstreams, a relay between four sockets | `proxy` |
//!
//! # Types of the crate under test
//!
//! lb-discovery and lb-proxy depend on this crate for their tests, and this crate on them. Integration tests see one
//! copy of their types. A unit test inside `src/` does not: its `crate::Backend` and this crate's `Backend` are two
//! types. So unit tests use only modules without types of ours in their signatures, such as [`log`] and [`dns`].

#![allow(clippy::unwrap_used, reason = "a panic fails the test that called")]
#![allow(
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    missing_debug_implementations,
    reason = "unpublished: all callers are in this repository"
)]

pub mod bytes;
pub mod client_hello;
pub mod deadline;
pub mod descriptors;
#[cfg(feature = "discovery")]
pub mod discovery;
#[cfg(feature = "dns")]
pub mod dns;
#[cfg(target_os = "linux")]
pub mod kernel;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod log;
#[cfg(target_os = "linux")]
pub mod namespace;
#[cfg(target_os = "linux")]
pub mod namespaces;
pub mod nodes;
pub mod promtool;
#[cfg(feature = "proxy")]
pub mod proxy;
pub mod sockets;
pub mod streams;
#[cfg(feature = "tls")]
pub mod tls;
