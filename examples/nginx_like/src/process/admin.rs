//! The admin server of `lb_admin`.

use std::io;
use std::path::Path;

use lb_proxy::Handle;
use lb_proxy::admin::{Admin, AdminError, AdminListener, AdminServer, AdminSettings, AdminToken};
use lb_proxy::settings::InheritableSockets;
use nix::unistd::Group;
use prometheus_client::registry::Registry;
use tracing::error;

use super::error::StartError;
use super::files::access::FileAccess;
use crate::config::admin::{AdminAddress, AdminListen};
use crate::config::main::Config;

/// The admin server while it runs.
#[derive(Debug)]
pub(crate) struct RunningAdmin {
    admin: Admin,
    /// The address as the configuration has it, and the server.
    running: Option<(AdminAddress, AdminServer)>,
}

/// What a configuration needs of the admin server, opened where it is new.
#[derive(Debug)]
pub(crate) struct DesiredAdmin(Option<(AdminAddress, Step)>);

#[derive(Debug)]
enum Step {
    /// Another address: this socket is served.
    Open(AdminListener),
    /// The same address: the running server gets these settings.
    Update(Box<AdminSettings>),
}

impl DesiredAdmin {
    /// Reads the token, and opens the socket unless a server at `running` has the address or it is `inherited`. Blocks on files.
    pub(crate) fn open(
        config: &Config,
        running: Option<&AdminAddress>,
        inherited: Option<InheritableSockets>,
        files: &FileAccess,
    ) -> Result<Self, StartError> {
        let Some(listen) = config.admin() else {
            return Ok(Self(None));
        };
        let settings = settings(listen, |path| files.read_token(path))?;
        let step = match running == Some(&listen.address) {
            true => Step::Update(Box::new(settings)),
            false => {
                let opened = match inherited {
                    Some(socket) => AdminListener::inherit(&settings, socket),
                    None => AdminListener::open(&settings),
                };
                Step::Open(opened.map_err(StartError::admin(listen))?)
            }
        };
        Ok(Self(Some((listen.address.clone(), step))))
    }
}

impl RunningAdmin {
    /// An admin of the server of `handle`, which serves nothing yet.
    pub(crate) fn new(handle: Handle, registry: Registry) -> Self {
        let admin = Admin::builder(handle)
            .program("nginx_like", env!("CARGO_PKG_VERSION"))
            .registry(registry);
        Self {
            admin: admin.build(),
            running: None,
        }
    }

    /// A duplicate of its socket, if it serves.
    pub(crate) fn listening_socket(&self) -> io::Result<Option<InheritableSockets>> {
        let running = self.running.as_ref();
        running
            .map(|(_, server)| server.listening_socket())
            .transpose()
    }

    /// Leaves the socket to the process of another binary.
    pub(crate) fn pause(&mut self) {
        if let Some((_, server)) = &mut self.running {
            server.pause();
        }
    }

    /// Serves again after a [`pause`](Self::pause). Inside of the server's runtime.
    pub(crate) fn resume(&mut self) {
        if let Some((_, server)) = &mut self.running {
            server.resume();
        }
    }

    /// Sets whether the file of a unix socket is left at the end.
    pub(crate) fn keep_file(&mut self, keep: bool) {
        if let Some((_, server)) = &mut self.running {
            server.keep_file(keep);
        }
    }

    pub(crate) fn address(&self) -> Option<&AdminAddress> {
        self.running.as_ref().map(|(address, _)| address)
    }

    /// Serves what a configuration asks for, and stops what it does not. Inside of the server's runtime.
    pub(crate) fn apply(&mut self, desired: DesiredAdmin) {
        match desired.0 {
            None => self.running = None,
            Some((address, Step::Open(listener))) => {
                self.running = Some((address, self.admin.serve(listener)));
            }
            Some((_, Step::Update(settings))) => {
                let running = self.running.as_ref();
                let updated = running.map(|(_, server)| server.update(&settings));
                if let Some(Err(error)) = updated {
                    error!(%error, "Settings of the admin server not applied");
                }
            }
        }
    }
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
