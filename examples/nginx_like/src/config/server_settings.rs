//! Settings of a `server` block, which the `stream` block allows as defaults for all servers.
//!
//! Each field is a group of directives: a file beside this one, named as nginx's module.

use lb_proxy::proxy_protocol::TrustedNetworks;

use super::access::AccessRule;
use super::access_log::{AccessLog, AccessLogs};
use super::error_log::ErrorLog;
use super::health_check::{HealthDraft, HealthSettings};
use super::limit_conn::{LimitConn, LimitConnDraft, LimitConnSettings};
use super::proxy::{ProxyDraft, ProxySettings};
use super::realip::{self, RealIpFrom};
use super::resolver::NameResolution;
use super::ssl_preread::{SslPrereadDraft, SslPrereadSettings};
use super::stream_core::{CoreDraft, CoreSettings};
use crate::logs::path_cache::FileCacheSettings;
use crate::syntax::directive::{Directive, Has};

/// The settings of a server, complete.
#[derive(Clone, Debug)]
pub(crate) struct ServerSettings {
    pub(crate) core: CoreSettings,
    pub(crate) health: HealthSettings,
    pub(crate) proxy: ProxySettings,
    pub(crate) ssl_preread: SslPrereadSettings,
    /// `set_real_ip_from`: the proxies with trusted PROXY headers.
    pub(crate) real_ip_from: TrustedNetworks,
    /// `allow` and `deny`; the first rule that matches counts.
    pub(crate) access: Vec<AccessRule>,
    pub(crate) limit_conn: Vec<LimitConn>,
    pub(crate) limit_conn_settings: LimitConnSettings,
    pub(crate) error_logs: Vec<ErrorLog>,
    pub(crate) access_logs: Vec<AccessLog>,
    /// `open_log_file_cache`, none by default.
    pub(crate) file_cache: Option<FileCacheSettings>,
}

/// The settings as written in one block.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerDraft {
    core: CoreDraft,
    health: HealthDraft,
    proxy: ProxyDraft,
    ssl_preread: SslPrereadDraft,
    real_ip_from: Vec<RealIpFrom>,
    access: Vec<AccessRule>,
    limit_conn: Vec<LimitConn>,
    limit_conn_settings: LimitConnDraft,
    pub(crate) error_logs: Vec<ErrorLog>,
    access_logs: AccessLogs,
    /// `Some(None)` is `off`.
    file_cache: Option<Option<FileCacheSettings>>,
    pub(crate) name_resolution: NameResolution,
}

impl ServerDraft {
    /// The complete settings of a server in a `stream` block with the settings `outer`. A list is inherited only if the
    /// server has none of its own.
    pub(crate) fn merge(self, outer: &Self) -> ServerSettings {
        ServerSettings {
            core: self.core.merge(&outer.core),
            health: self.health.merge(&outer.health),
            proxy: self.proxy.merge(&outer.proxy),
            ssl_preread: self.ssl_preread.merge(&outer.ssl_preread),
            real_ip_from: realip::networks(&own_or(self.real_ip_from, &outer.real_ip_from)),
            access: own_or(self.access, &outer.access),
            limit_conn: own_or(self.limit_conn, &outer.limit_conn),
            limit_conn_settings: self.limit_conn_settings.merge(&outer.limit_conn_settings),
            error_logs: own_or(self.error_logs, &outer.error_logs),
            access_logs: self.access_logs.inherit(&outer.access_logs),
            file_cache: self.file_cache.or(outer.file_cache).flatten(),
        }
    }
}

fn own_or<T: Clone>(own: Vec<T>, outer: &[T]) -> Vec<T> {
    if own.is_empty() { outer.to_vec() } else { own }
}

impl<B: Has<ServerDraft>> Directive<B> {
    pub(crate) const SERVER_SETTINGS: &'static [&'static [Self]] = &[
        Self::ACCESS,
        Self::ACCESS_LOG,
        Self::ERROR_LOG,
        Self::HEALTH_SETTINGS,
        Self::LIMIT_CONN,
        Self::LIMIT_CONN_SETTINGS,
        Self::PROXY,
        Self::REALIP,
        Self::RESOLVER,
        Self::SSL_PREREAD,
        Self::STREAM_CORE,
        Self::TLS,
    ];
}

/// A block that has the settings has each of their groups.
macro_rules! groups {
    ($($field:ident: $group:ty,)*) => {
        $(impl<B: Has<ServerDraft>> Has<$group> for B {
            fn part(&mut self) -> &mut $group {
                let settings: &mut ServerDraft = self.part();
                &mut settings.$field
            }
        })*
    };
}

groups! {
    access: Vec<AccessRule>,
    access_logs: AccessLogs,
    core: CoreDraft,
    file_cache: Option<Option<FileCacheSettings>>,
    error_logs: Vec<ErrorLog>,
    health: HealthDraft,
    limit_conn: Vec<LimitConn>,
    limit_conn_settings: LimitConnDraft,
    name_resolution: NameResolution,
    proxy: ProxyDraft,
    real_ip_from: Vec<RealIpFrom>,
    ssl_preread: SslPrereadDraft,
}
