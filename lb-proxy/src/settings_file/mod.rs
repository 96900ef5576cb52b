//! A proxy from a file of settings.
//!
//! [`ProxySettings`] is everything that a file can say: upstreams with their sources, policies and checks, listeners, limits and
//! the shutdown. It is read by any format of serde that describes itself, such as JSON, YAML or TOML. The types below are
//! plain data: a program may also fill them by itself, change what it has read, and write it.
//!
//! ```
//! use lb_proxy::settings_file::ProxySettings;
//!
//! let text = r#"
//! upstreams:
//!   echo:
//!     sources:
//!       - static: ["10.0.0.1:446", { addr: "10.0.0.2:446", weight: 5 }]
//!     policy: { maglev: { table_size: 65537 } }
//!     balancer:
//!       slow_start: { window: 30s }
//!     health_checks:
//!       - { check: tcp, settings: { interval: 2s, fall: 3 } }
//! listeners:
//!   - listen: "127.0.0.1:0"
//!     upstream: echo
//!     sessions:
//!       timeouts: { connect: 500ms, idle: 1h, half_closed: false }
//! drain_timeout: 20s
//! "#;
//! let settings: ProxySettings = serde_saphyr::from_str(text)?;
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # runtime.block_on(async {
//! let server = settings.build()?.bind().await?;
//! println!("listening on {:?}", server.local_addrs());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The form
//!
//! - What is left out has the default of the builders. `lb-proxy/docs/settings.md` of the repository lists all settings.
//! - An unknown field is an error, whose place the format's parser tells.
//! - Times are numbers with units: `150ms`, `10s`, `1h 30m`. Sizes are numbers of bytes, or have units: `64KiB`. Rates are
//!   `100/s` or `10/5m` for connections, `10MiB/s` for bytes.
//! - `false` switches off what can be off: a limit, a time-out, a check.
//! - What has a name and settings is the name alone for the default settings, or one name with its settings: `policy: p2c`,
//!   `on_removed: { drain: { within: 1m } }`.
//!
//! # What no file can say
//!
//! Functions, hooks, and sources, policies, prereads and checks of one's own. [`ProxySettings::builder_with`] gives each listener
//! and upstream of the file to the program before they are built. Of a [route function](crate::Listener::route) a file has the split
//! by weight ([`UpstreamChoice`]), server names and virtual servers; of functions that change or filter backends it has
//! [`mapped` and `filtered`](lb_discovery::settings). A `NetworkWatch` has no settings: a running server follows it, and `orphan_timeout`
//! and `common_outage` say what the server does with what it sees.
//!
//! With the feature `schema` each type has a JSON schema; `lb-proxy/docs/settings.schema.json` is that of [`ProxySettings`], for
//! editors and for checks before a rollout.

mod bind_source;
mod clients;
mod error;
mod first_bytes;
mod health_check;
mod listener;
mod named;
mod or_inherited;
mod proxy;
mod send_proxy;
mod sessions;
mod upstream;
mod upstream_choice;

pub use bind_source::{BindSourceSettings, SourceAddress};
pub use clients::{AccessRule, ClientLimitSettings, ClientZoneSettings, Clients};
pub use error::SettingsError;
pub use first_bytes::{ClientHelloSettings, ProxyProtocolSettings};
#[cfg(feature = "health-tls")]
pub use health_check::TlsSettings;
pub use health_check::{
    AgentSettings, CheckKind, HealthCheckSettings, HttpSettings, NodePortCheckSettings,
    SendExpectSettings, StatusRange, StepSettings,
};
pub use listener::{ListenerSettings, VirtualServerSettings};
pub use proxy::ProxySettings;
pub use send_proxy::{SendProxySettings, TlvSettings};
pub use sessions::SessionSettings;
pub use upstream::UpstreamSettings;
pub use upstream_choice::{UpstreamChoice, UpstreamShare};
