//! The settings of sessions, which a listener and each of its virtual servers have.

use std::sync::Arc;
use std::time::Duration;

use super::description::Listener;
use crate::bandwidth::Bandwidth;
use crate::config::{HalfClose, OnRefusal, Retry, Splice, Timeouts};
use crate::connection::Connection;
use crate::hooks::Hooks;
use crate::into_shared::IntoShared;
use crate::net::bind_source::BindSource;
use crate::net::options::SocketOptions;
use crate::proxy_protocol::SendProxy;
use crate::server_names::ServerNames;
use crate::state::bandwidth_setting::BandwidthSetting;
use crate::state::route_action::RouteAction;
use crate::state::route_function::RouteFunction;
use crate::state::virtual_servers::VirtualServer;
use crate::upstream::Upstream;

macro_rules! session_settings {
    ($described:ty) => {
        /// Settings of sessions.
        impl $described {
            /// Sets how hooks and the admin server call it, such as a name or a place in a configuration: see
            /// [`Connection::label`](crate::events::Connection::label). Default: no label.
            pub fn label(mut self, label: impl Into<Arc<str>>) -> Self {
                self.route.label = Some(label.into());
                self
            }

            /// Sets the options of connections to backends. Each that is set costs one system call for each connection.
            /// Default: [`SocketOptions::default`].
            pub fn backend_options(mut self, options: SocketOptions) -> Self {
                self.route.backend_options = options;
                self
            }

            /// Sets the source addresses and the interface of connections to backends. Default: [`BindSource::any`].
            pub fn bind_source(mut self, source: BindSource) -> Self {
                self.route.bind_source = source;
                self
            }

            /// Sets the time-outs of its sessions. Default: [`Timeouts::default`].
            pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
                self.route.timeouts = timeouts;
                self
            }

            /// Sets whether long transfers are spliced. Default: [`Splice::Auto`].
            pub fn splice(mut self, splice: Splice) -> Self {
                self.route.splice = splice;
                self
            }

            /// Sets what the end of one side means. Default: [`HalfClose::Allow`].
            pub fn half_close(mut self, half_close: HalfClose) -> Self {
                self.route.half_close = half_close;
                self
            }

            /// Sets when another backend is tried. Default: [`Retry::default`].
            pub fn retry(mut self, retry: Retry) -> Self {
                self.route.retry = retry;
                self
            }

            /// Sets how a client is closed that gets no service. Default: [`OnRefusal::Reset`].
            #[doc(alias = "on_no_backend")]
            pub fn on_refusal(mut self, on_refusal: OnRefusal) -> Self {
                self.route.on_refusal = on_refusal;
                self
            }

            /// Sets whether a client that ended its side before it sent a byte counts as gone while it waits for a backend.
            /// Default: yes, since port probes and cancelled requests look like that. Without it the session connects such a
            /// client to a backend, for protocols in which only the backend sends. A reset always ends the wait.
            #[doc(alias = "abortonclose")]
            pub fn abandon_silent(mut self, abandon_silent: bool) -> Self {
                self.route.abandon_silent = abandon_silent;
                self
            }

            /// Sets the observer of its connections: hooks, or an `Arc` of them. Default: none.
            pub fn hooks(mut self, hooks: impl IntoShared<dyn Hooks>) -> Self {
                self.route.hooks = Some(hooks.into_shared());
                self
            }

            /// Sets the time between two calls of [`Hooks::progress`](crate::Hooks::progress) for a session that relays, at
            /// least 100 ms. Default: none, no calls. A session with an interval has a timer and takes some 700 bytes more.
            #[doc(alias = "access_log_flush_interval", alias = "logasap")]
            pub fn report_interval(mut self, interval: Option<Duration>) -> Self {
                self.route.report_interval = interval;
                self
            }

            /// Sets which upstreams serve the names that clients ask for in TLS (SNI). A listener without a
            /// [`ClientHelloReader`](crate::client_hello::ClientHelloReader) learns no names. All other connections go to the
            /// listener's upstream. One look-up for each session. Default: none.
            #[doc(alias = "ssl_preread", alias = "filter_chain_match")]
            pub fn server_names(mut self, upstreams: ServerNames<Upstream>) -> Self {
                self.route.server_names = Some(Arc::new(upstreams));
                self
            }

            /// Sets a function that chooses where a session goes, for what [server names](Self::server_names) cannot say: an
            /// `Option<Upstream>`, or any other [`RouteAction`]. It runs once for each session, after the prereads, on the
            /// session's task, so it must not block. `None` leaves the choice to the server names and the prereads. An upstream
            /// that no listener names must be made known with [`ProxyBuilder::upstream`](crate::ProxyBuilder::upstream). Default:
            /// no function.
            #[doc(alias = "use_backend", alias = "return", alias = "pass")]
            pub fn route<A: Into<RouteAction>>(
                mut self,
                choose: impl Fn(&Connection) -> A + Send + Sync + 'static,
            ) -> Self {
                self.route.function = Some(RouteFunction::new(move |connection| {
                    choose(connection).into()
                }));
                self
            }

            /// Limits how fast bytes are relayed. Default: [`Bandwidth::unlimited`].
            #[doc(alias = "proxy_upload_rate", alias = "proxy_download_rate")]
            pub fn bandwidth(mut self, bandwidth: Bandwidth) -> Self {
                self.route.bandwidth = (!bandwidth.is_unlimited()).then_some(bandwidth.into());
                self
            }

            /// Limits how fast bytes are relayed by a function, which runs once for each session that is connected to a backend,
            /// on the session's task. Default: no function.
            pub fn bandwidth_of(
                mut self,
                bandwidth: impl Fn(&Connection) -> Bandwidth + Send + Sync + 'static,
            ) -> Self {
                self.route.bandwidth = Some(BandwidthSetting::of(bandwidth));
                self
            }

            /// Sets whether a session sends its backend the client's address, by a PROXY protocol header before everything else.
            /// Default: no. Configure the backends to expect the header, and to accept it from this proxy alone. [A setting of the
            /// upstream](crate::UpstreamBuilder::send_proxy) overrides this one.
            #[doc(alias = "proxy_protocol", alias = "send-proxy")]
            pub fn send_proxy(mut self, send: SendProxy) -> Self {
                self.route.send_proxy = Some(send);
                self
            }
        }
    };
}

session_settings!(Listener);

impl Listener {
    /// Sets all settings of sessions at once: the upstream, and all that a [`VirtualServer`] has.
    pub fn sessions(mut self, settings: VirtualServer) -> Self {
        self.route.take_sessions(settings.route);
        self
    }
}

session_settings!(VirtualServer);
