//! A small HTTP server for operators: metrics, readiness, status, explanations, live sessions, and overrides.
//!
//! [`AdminListener::open`] opens the socket, [`Admin::serve`] serves it. Requests run on a thread of their own, which exists
//! only while there are connections, so that no session waits for a request. At most [`MAX_CONNECTIONS`] are open at a time;
//! a further one replaces the one that has been waiting longest for the header of a request. Each request is bounded in size and
//! time: a client has 5 s for the headers and 5 s for the body, must take a further part of its answer within 10 s, and is
//! disconnected after a minute. The [descriptors](DESCRIPTORS) that all of this takes are to be
//! [reserved](crate::ProxyBuilder::reserve_descriptors).
//!
//! # Requests
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | a page for a browser, which asks for the status every 2 s and sends the requests below |
//! | `GET /requests` | the list of all requests, as text |
//! | `GET /livez` | `ok`, while the process runs |
//! | `GET /readyz` | 200 or 503, and each condition of readiness |
//! | `GET /metrics[?sockets=N]` | metrics for Prometheus (feature `metrics`), with those of a sample of N sockets to backends |
//! | `GET /status.json` | [`Status`](status::Status); `docs/status.md` of this crate describes it, `docs/admin-api.md` the other answers |
//! | `GET /explain?upstream=U[&client=ADDR][&sni=NAME][&local=ADDR]` | each backend, why it may or may not be picked, and which one is |
//! | `GET /explain?listener=L&client=ADDR[&sni=NAME][&local=ADDR]` | where a connection to the listener goes, what decides it, and the above of its upstream |
//! | `GET /sessions?[id=][&upstream=][&backend=][&listener=][&client=][&phase=][&older_than=][&more_bytes_than=][&order=][&limit=][&tcp=1]` | live sessions, also those of an address that is no backend any more |
//! | `GET /config` | the configuration that runs, with the file and the number of each line |
//! | `POST /drain?backend=B[&upstream=U]`, `POST /undrain?…`, `POST /ready?…` | the administrative state |
//! | `POST /weight?backend=B&weight=W[&upstream=U]` | a number, a percentage, or `default` |
//! | `POST /max_conns?backend=B&max_conns=N[&upstream=U]` | a number, `unlimited`, or `default` |
//! | `POST /close?backend=B[&upstream=U][&force=1]` | closes the live sessions of a backend, or of an address that is no backend any more |
//! | `POST /close?id=N[&backend=B][&upstream=U][&force=1]` | closes the live session with this number |
//! | `GET /log_level` | the level of the log, and what has set it |
//! | `POST /log_level?level=L` | sets the level of the log, if the program lets it be set |
//!
//! A closed session first delivers the bytes that were acknowledged before, as
//! [`close_sessions`](crate::Handle::close_sessions) does: with a client that does not read, it may last for a minute, or for
//! [`Timeouts::idle`](crate::Timeouts::idle) if that is longer. With `force=1` it is reset at once, also if it is closing
//! already: what its peers have not received is lost. The answer has how many sessions were `closed`, how many of these were
//! `reset`, and without `force=1` how many others were `closing` already.
//!
//! A listener is named by what it listens on, an address that it accepts connections to, its port, or its
//! [label](crate::Listener::label). What `/explain` answers about it has `route`, the steps that decide, and `action`: `upstream`,
//! `refuse` with a `reason`, or `respond` with the number of `bytes`. The fields of the upstream are there if it is `upstream`. The
//! route acquires no limit, calls no hook, and looks names up as that of a session, for at most 5 s. Two such answers are waited for
//! at a time; a further request gets 503 with `Retry-After`.
//!
//! The parameters of a `POST` may also be a form in its body. All else is JSON. An error is `{"error": "…"}`.
//!
//! # Access
//!
//! A TCP address must be a loopback address, unless [networks](AdminSettings::allow) are allowed. Requests over TCP must name
//! a loopback host, an IP address or a [given name](AdminSettings::host), so that no web page reads the answers by a DNS
//! name of its own. A `POST` needs the [token](AdminSettings::token) (`Authorization: Bearer …`), or comes over a unix socket
//! from the user of the process, from root, or from the [group](AdminSettings::group) of the socket; then it must have a
//! header `X-Lb-Admin`, which no web page can send elsewhere. A request of a page of another origin is refused in any case, unless
//! it follows a link.
//!
//! What a `POST` does is logged with its origin and listed in the [status](status::Status::actions). What it sets is gone when the process ends.

mod access;
mod answer;
mod directory_lock;
mod error;
mod listener;
mod listening;
mod peer;
mod program;
mod query;
mod routes;
mod server;
mod settings;
pub mod status;
mod token;

pub use error::AdminError;
pub use listener::AdminListener;
pub use listening::ListeningAdmin;
pub use program::{ConfigLine, LogLevels};
pub use server::{Admin, AdminBuilder, AdminServer, DESCRIPTORS, MAX_CONNECTIONS};
pub use settings::AdminSettings;
pub use token::AdminToken;
