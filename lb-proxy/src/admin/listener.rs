//! The listening socket of an admin server.

use std::fs::Permissions;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;

use lb_core::Endpoint;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::directory_lock::DirectoryLock;
use super::error::AdminError;
use super::listening::ListeningAdmin;
use super::settings::{AdminSettings, AdmissionRules};
use crate::listener::address_guard::close_port;
use crate::listener::inheritable::InheritableSockets;
use crate::net::options::SocketOptions;
use crate::net::stream::register;
use crate::net::unix::{self, SocketAccess, SocketFile};

/// Connections that wait in the kernel's queue.
const BACKLOG: u32 = 64;

/// An open listening socket for an admin server. Dropping it closes it and removes the file of a unix socket.
#[derive(Debug)]
pub struct AdminListener {
    pub(super) socket: AdminSocket,
    pub(super) endpoint: Endpoint,
    pub(super) rules: AdmissionRules,
    /// Removes the file at the end.
    pub(super) file: Option<SocketFile>,
}

/// A listening socket, nonblocking.
#[derive(Debug)]
pub(super) enum AdminSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AdminListener {
    /// Opens the socket. The file of a unix socket that no process listens on any more is replaced. Blocks shortly.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotLoopback`], [`AdminError::Listen`].
    pub fn open(settings: &AdminSettings) -> Result<Self, AdminError> {
        Self::open_beside(settings, None)
    }

    /// [Opens](Self::open) the socket in the place of `running`, which is stopped soon and may have an address that overlaps,
    /// such as `127.0.0.1:9446` beside `0.0.0.0:9446`. The kernel allows that for sockets of one user.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open). The running server goes on.
    pub fn open_beside(
        settings: &AdminSettings,
        running: Option<&ListeningAdmin>,
    ) -> Result<Self, AdminError> {
        check_loopback(settings)?;
        let endpoint = settings.endpoint.clone();
        let opened = match &endpoint {
            Endpoint::Tcp(addr) => open_tcp(*addr, running),
            Endpoint::Unix(path) => open_unix(path, settings),
        };
        let (socket, file, endpoint) = match opened {
            Ok((AdminSocket::Tcp(socket), file)) => {
                // For port 0 the kernel has chosen a port.
                let addr = socket.local_addr().map(Endpoint::Tcp);
                (AdminSocket::Tcp(socket), file, addr.unwrap_or(endpoint))
            }
            Ok((socket, file)) => (socket, file, endpoint),
            Err(source) => return Err(AdminError::Listen { endpoint, source }),
        };
        Ok(Self {
            socket,
            endpoint,
            rules: settings.rules.clone(),
            file,
        })
    }

    /// Takes over the socket of an admin server of another process, in the place of [`open`](Self::open). The file of a unix socket
    /// gets the group and the permissions of `settings`, and is left at the end until
    /// [`AdminServer::keep_file`](super::AdminServer::keep_file) says that no other process serves it.
    ///
    /// # Errors
    ///
    /// [`AdminError::NotLoopback`]. [`AdminError::Listen`] if the socket is of another address, or if group and permissions cannot
    /// be set.
    pub fn inherit(
        settings: &AdminSettings,
        sockets: InheritableSockets,
    ) -> Result<Self, AdminError> {
        check_loopback(settings)?;
        let endpoint = settings.endpoint.clone();
        let failed = |source| AdminError::Listen {
            endpoint: endpoint.clone(),
            source,
        };
        if sockets.addr() != endpoint.key() {
            let what = format!("the socket is that of {sockets}");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, what)));
        }
        let socket = sockets.into_listening().into_iter().next();
        let socket = socket.ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut changes_group = false;
        let (socket, file) = match &endpoint {
            Endpoint::Tcp(_) => (AdminSocket::Tcp(socket.into()), None),
            Endpoint::Unix(path) => {
                let group_before = std::fs::metadata(path).map(|file| file.gid()).ok();
                set_owner(path, settings).map_err(failed)?;
                changes_group =
                    settings.rules.group.is_some() && settings.rules.group != group_before;
                let file = SocketFile::inherit(path, settings.opener.as_ref());
                (AdminSocket::Unix(socket.into()), Some(file))
            }
        };
        socket.set_nonblocking().map_err(failed)?;
        if changes_group {
            socket.refuse_waiting();
        }
        Ok(Self {
            socket,
            endpoint,
            rules: settings.rules.clone(),
            file,
        })
    }

    /// What it listens on, with the port that the kernel chose.
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// An address that other machines reach takes rules for them.
fn check_loopback(settings: &AdminSettings) -> Result<(), AdminError> {
    match settings.endpoint {
        Endpoint::Tcp(addr)
            if !addr.ip().to_canonical().is_loopback() && settings.rules.allow.is_empty() =>
        {
            Err(AdminError::NotLoopback { addr })
        }
        _ => Ok(()),
    }
}

fn open_tcp(
    addr: SocketAddr,
    running: Option<&ListeningAdmin>,
) -> io::Result<(AdminSocket, Option<SocketFile>)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    let beside = running.and_then(|running| running.socket_on_port(addr.port()));
    match beside.as_deref().map(Deref::deref) {
        Some(AdminSocket::Tcp(running)) => listen_beside(&socket, addr, &SockRef::from(running))?,
        _ => listen(&socket, addr)?,
    }
    Ok((AdminSocket::Tcp(socket.into()), None))
}

fn listen(socket: &Socket, addr: SocketAddr) -> io::Result<()> {
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG.cast_signed())
}

/// Listens on an address that may overlap with that of `running`. Both sockets may share it during this call only.
fn listen_beside(socket: &Socket, addr: SocketAddr, running: &SockRef<'_>) -> io::Result<()> {
    running.set_reuse_port(true)?;
    socket.set_reuse_port(true)?;
    let opened = listen(socket, addr);
    // Otherwise the kernel lets sockets of other programs join the address that was bound last with this option.
    let closed = close_port(addr.port(), &[]);
    running.set_reuse_port(false)?;
    socket.set_reuse_port(false)?;
    opened.and(closed)
}

fn open_unix(
    path: &Path,
    settings: &AdminSettings,
) -> io::Result<(AdminSocket, Option<SocketFile>)> {
    let access = SocketAccess {
        mode: settings.mode,
        group: settings.rules.group,
    };
    let open = || unix::listen(path, BACKLOG, access, settings.opener.as_ref());
    // Until the new socket listens: another process that opens its socket here takes one that does not listen yet for
    // an abandoned one.
    let _lock = DirectoryLock::of(path);
    let opened: io::Result<(OwnedFd, SocketFile)> = match open() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            open()
        }
        opened => opened,
    };
    let (socket, file) = opened?;
    Ok((AdminSocket::Unix(socket.into()), Some(file)))
}

/// Sets the group and the permissions of a socket's file.
pub(super) fn set_owner(path: &Path, settings: &AdminSettings) -> io::Result<()> {
    if let Some(group) = settings.rules.group {
        std::os::unix::fs::chown(path, None, Some(group))?;
        return std::fs::set_permissions(path, Permissions::from_mode(settings.mode));
    }
    match settings.opener {
        // The file may be another user's.
        Some(_) => Ok(()),
        None => std::fs::set_permissions(path, Permissions::from_mode(settings.mode)),
    }
}

/// Whether `path` is a socket that no process listens on.
fn is_abandoned(path: &Path) -> bool {
    let file = std::fs::symlink_metadata(path);
    file.is_ok_and(|file| file.file_type().is_socket())
        && unix::connect(path, &SocketOptions::default(), false)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

impl AsFd for AdminSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl AdminSocket {
    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// Closes the connections of a unix socket that wait to be accepted.
    pub(super) fn refuse_waiting(&self) {
        if let Self::Unix(socket) = self {
            // More are from clients that connect meanwhile.
            let waiting = (0..=BACKLOG).map_while(|_| socket.accept().ok());
            waiting.for_each(drop);
        }
    }

    /// Another descriptor of the socket.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.as_fd().try_clone_to_owned()
    }

    /// Registers the socket with the current runtime, by another descriptor, until the result is dropped.
    pub(super) fn watch(&self) -> io::Result<AsyncFd<OwnedFd>> {
        register(self.duplicate()?, Interest::READABLE)
    }
}
