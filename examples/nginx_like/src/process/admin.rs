//! The admin server of `lb_admin`.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lb_core::Endpoint;
use lb_proxy::Handle;
use lb_proxy::admin::{
    Admin, AdminError, AdminListener, AdminServer, AdminSettings, AdminToken, ConfigLine,
    ListeningAdmin,
};
use lb_proxy::errors::{BindError, ReloadError};
use lb_proxy::settings::InheritableSockets;
use nix::unistd::Group;
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tracing::{error, info, warn};

use super::error::StartError;
use super::files::access::FileAccess;
use super::logs::logging::Logging;
use crate::config::admin::{AdminAddress, AdminListen};
use crate::config::main::Config;
use crate::syntax::listing::Listing;
use crate::version::version;

/// How long a reload waits for the end of an admin server that answers a request without a pause.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The admin server while it runs.
#[derive(Debug)]
pub(crate) struct RunningAdmin {
    admin: Admin,
    running: Option<AdminServer>,
    listing: RunningListing,
}

/// The configuration that runs, as `/config` shows it.
type RunningListing = Arc<Mutex<Option<Arc<Listing>>>>;

/// What a configuration needs of the admin server, opened where it is new.
#[derive(Debug)]
pub(crate) struct DesiredAdmin {
    server: Option<Step>,
    listing: Option<Arc<Listing>>,
}

#[derive(Debug)]
enum Step {
    /// Another address: this socket is served.
    Open(AdminListener),
    /// The same address: the running server gets these settings.
    Update(Box<AdminSettings>),
}

impl DesiredAdmin {
    /// Reads the token, and opens the socket unless the `running` server has it or it is `inherited`. Blocks on files.
    pub(crate) fn open(
        config: &Config,
        running: Option<&ListeningAdmin>,
        inherited: Option<InheritableSockets>,
        files: &FileAccess,
    ) -> Result<Self, StartError> {
        let Some(listen) = config.admin() else {
            return Ok(Self {
                server: None,
                listing: None,
            });
        };
        let settings = settings(listen, |path| files.read_token(path))?;
        let step = match running.is_some_and(|running| running.is_at(settings.endpoint())) {
            true => Step::Update(Box::new(settings)),
            false => {
                let opened = match inherited {
                    Some(socket) => AdminListener::inherit(&settings, socket),
                    None => AdminListener::open_beside(&settings, running),
                };
                Step::Open(opened.map_err(StartError::admin(listen))?)
            }
        };
        Ok(Self {
            server: Some(step),
            listing: config.listing.clone(),
        })
    }
}

impl RunningAdmin {
    /// An admin of the server of `handle`, which serves nothing yet.
    pub(crate) fn new(handle: Handle, registry: Registry, logging: &Logging) -> Self {
        let listing = RunningListing::default();
        let shown = Arc::clone(&listing);
        let admin = Admin::builder(handle)
            .program("nginx_like", version())
            .config(move || {
                let listing = lock(&shown).clone();
                listing.iter().flat_map(|listing| lines(listing)).collect()
            })
            .log_levels(logging.clone())
            .registry(registry);
        Self {
            admin: admin.build(),
            running: None,
            listing,
        }
    }

    /// A duplicate of its socket, if it serves.
    pub(crate) fn listening_socket(&self) -> io::Result<Option<InheritableSockets>> {
        let running = self.running.as_ref();
        running.map(AdminServer::listening_socket).transpose()
    }

    /// Leaves the socket to the process of another binary.
    pub(crate) fn pause(&mut self) {
        if let Some(server) = &mut self.running {
            server.pause();
        }
    }

    /// Serves again after a [`pause`](Self::pause). Inside of the server's runtime.
    pub(crate) fn resume(&mut self) {
        if let Some(server) = &mut self.running {
            server.resume();
        }
    }

    /// Sets whether the file of a unix socket is left at the end.
    pub(crate) fn keep_file(&mut self, keep: bool) {
        if let Some(server) = &mut self.running {
            server.keep_file(keep);
        }
    }

    /// Where the server that runs listens.
    pub(crate) fn listening(&self) -> Option<ListeningAdmin> {
        self.running.as_ref().map(AdminServer::listening)
    }

    /// Says so if the address that cannot be bound is that of the server.
    pub(crate) fn explain_bind(&self, error: ReloadError) -> StartError {
        let addr = match &error {
            ReloadError::Bind(BindError::Listen { addr, .. }) => Some(addr.key()),
            ReloadError::Bind(BindError::InTheWay { addr, .. }) => Some(*addr),
            _ => None,
        };
        let running = self.running.as_ref().map(AdminServer::endpoint);
        let is_in_the_way = |running: &&Endpoint| match (running, addr) {
            (Endpoint::Tcp(running), Some(addr)) => {
                running.port() == addr.port() && !Endpoint::is_unix_key(addr)
            }
            (running, addr) => addr == Some(running.key()),
        };
        let admin = running.filter(is_in_the_way).cloned();
        let source = StartError::from(error);
        match admin {
            Some(admin) => StartError::AdminInTheWay {
                source: Box::new(source),
                admin,
            },
            None => source,
        }
    }

    /// Serves what a configuration asks for, and stops what it does not. Inside of the server's runtime.
    pub(crate) async fn apply(&mut self, desired: DesiredAdmin) {
        *lock(&self.listing) = desired.listing;
        match desired.server {
            None => {
                if let Some(before) = self.running.take() {
                    close(before, "the configuration has no lb_admin").await;
                }
            }
            Some(Step::Open(listener)) => {
                let opened = self.admin.serve(listener);
                if let Some(before) = self.running.replace(opened) {
                    close(before, "lb_admin has another address").await;
                }
            }
            Some(Step::Update(settings)) => {
                let running = self.running.as_ref();
                let updated = running.map(|server| server.update(&settings));
                if let Some(Err(error)) = updated {
                    error!(%error, "Settings of the admin server not applied");
                }
            }
        }
    }
}

/// Closes the socket, which may have an address that overlaps with that of another listener: once the reload is applied, no client
/// connects to it.
async fn close(server: AdminServer, reason: &str) {
    let endpoint = server.endpoint().clone();
    if timeout(CLOSE_TIMEOUT, server.close()).await.is_err() {
        warn!(%endpoint, "Socket of the admin server closes late");
    }
    info!(%endpoint, "Admin server closed, because {reason}");
}

/// No code that can panic runs under the lock.
fn lock(listing: &RunningListing) -> MutexGuard<'_, Option<Arc<Listing>>> {
    listing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lines(listing: &Listing) -> Vec<ConfigLine> {
    let lines = listing.lines().map(|line| {
        let number = u32::try_from(line.number).unwrap_or(u32::MAX);
        let text = format!("{:indent$}{}", "", line.text, indent = 4 * line.depth);
        ConfigLine::new(line.file.display().to_string(), number, text)
    });
    lines.collect()
}

/// What is wrong with the files and the group of `lb_admin`, if something is.
pub(crate) fn test(config: &Config) -> Result<(), StartError> {
    config.admin().map_or(Ok(()), |listen| {
        settings(listen, AdminToken::read).map(drop)
    })
}

fn settings(
    listen: &AdminListen,
    read_token: impl FnOnce(&Path) -> Result<AdminToken, AdminError>,
) -> Result<AdminSettings, StartError> {
    let settings = match &listen.address {
        AdminAddress::Tcp(addr) => AdminSettings::tcp(*addr),
        AdminAddress::Unix(path) => AdminSettings::unix(path.as_path()),
    };
    let token = listen.token.as_deref().map(read_token).transpose();
    let token = token.map_err(StartError::admin(listen))?;
    let allow = listen.allow.iter();
    let settings = allow.fold(settings.token(token), |settings, network| {
        settings.allow(*network)
    });
    let hosts = listen.hosts.iter();
    let settings = hosts.fold(settings, |settings, host| settings.host(host.as_str()));
    let Some(name) = &listen.group else {
        return Ok(settings);
    };
    let group = Group::from_name(name).ok().flatten();
    let group = group.ok_or_else(|| StartError::AdminGroup {
        name: name.clone(),
        span: listen.span.clone(),
    })?;
    Ok(settings.group(group.gid.as_raw()))
}
