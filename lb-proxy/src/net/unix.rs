//! Unix sockets: connecting, listening, and the addresses that stand for their clients.
//!
//! The ends of a unix socket have no IP address. A path is known by its [key](Endpoint::unix_key); clients, which have no
//! path, share the key of the empty path.
//!
//! What TCP has and unix sockets lack: a reset, so the peer of a truncated stream sees an end; acknowledgements, because
//! written bytes are in the peer's queue at once and stay readable after the close; keepalive probes and `TCP_NODELAY`.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_core::Endpoint;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};
use tracing::error;

use super::options::SocketOptions;
use crate::embedder_code::catch;

/// Connects to the socket at `path`. That never waits: with a full queue of connections it fails (`EAGAIN`).
///
/// `named` gives this end a name of its own, by which the accepted connection is [known](peer_key).
pub(crate) fn connect(path: &Path, options: &SocketOptions, named: bool) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    options.apply_to_unix(&SockRef::from(&socket))?;
    if named {
        bind_to_any_name(&socket)?;
    }
    Ok(socket).and_then(|socket| socket.connect(&SockAddr::unix(path)?).map(|()| socket))
}

/// Binds to a free name in Linux's abstract namespace.
#[cfg(any(target_os = "android", target_os = "linux"))]
fn bind_to_any_name(socket: &Socket) -> io::Result<()> {
    use nix::sys::socket::{UnixAddr, bind};
    use std::os::fd::AsRawFd;
    Ok(bind(socket.as_raw_fd(), &UnixAddr::new_unnamed())?)
}

#[cfg(not(any(target_os = "android", target_os = "linux")))]
fn bind_to_any_name(_: &Socket) -> io::Result<()> {
    Ok(())
}

/// Which processes may connect to a listening socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketAccess {
    /// The permissions of its file.
    pub(crate) mode: u32,
    /// The group of its file. `None`: that of the process.
    pub(crate) group: Option<u32>,
}

impl SocketAccess {
    /// The permissions `mode`, and the group of the process.
    pub(crate) const fn of_mode(mode: u32) -> Self {
        Self { mode, group: None }
    }

    /// Changes a file of the process's own group. No other group has a right at any moment that `mode` gives to `group`.
    fn set(self, path: &Path) -> io::Result<()> {
        if let Some(group) = self.group {
            fs::set_permissions(path, Permissions::from_mode(self.mode & !0o077))?;
            std::os::unix::fs::chown(path, None, Some(group))?;
        }
        fs::set_permissions(path, Permissions::from_mode(self.mode))
    }
}

/// Opens a listening socket at `path`, which must not exist, and gives its file the permissions and the group of `access`
/// before clients can connect. An `opener` decides itself when the file gets its permissions; a group it gets afterwards.
pub(crate) fn listen(
    path: &Path,
    backlog: u32,
    access: SocketAccess,
    opener: Option<&Arc<dyn UnixSocketOpener>>,
) -> io::Result<(OwnedFd, SocketFile)> {
    let file = |opener| SocketFile {
        path: path.to_owned(),
        opener,
        id: FileId::of(path).ok(),
        keeps: false,
    };
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    if let Some(opener) = opener {
        let mode = match access.group {
            None => access.mode,
            Some(_) => access.mode & !0o077,
        };
        let opened = catch("UnixSocketOpener::open", || opener.open(path, mode));
        let socket =
            opened.unwrap_or_else(|panicked| Err(io::Error::other(panicked.to_string())))?;
        let file = file(Some(Arc::clone(opener)));
        if access.group.is_some() {
            access.set(path)?;
        }
        socket.set_nonblocking(true)?;
        SockRef::from(&socket).listen(backlog)?;
        return Ok((socket.into(), file));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // From here on an error removes the file.
    let file = file(None);
    access.set(path)?;
    socket.listen(backlog)?;
    Ok((socket.into(), file))
}

/// Opens listening unix sockets and removes their files for a process that lacks the rights to the directories.
///
/// Such a process has become another user; see [`Listener::opener`](crate::Listener::opener).
pub trait UnixSocketOpener: fmt::Debug + Send + Sync {
    /// Opens a listening socket at `path`, whose file gets the permissions `mode`.
    ///
    /// # Errors
    ///
    /// What prevents it. The listener then cannot be opened; `AddrInUse` is tried again. A panic is such an error.
    fn open(&self, path: &Path, mode: u32) -> io::Result<UnixListener>;

    /// Removes the file of a socket that was opened, because its listener is closed. It should leave another file of that name. Runs on the thread that closes the
    /// listener, which may carry sessions, so it must not block for long. A panic is logged.
    fn remove(&self, path: &Path);
}

/// The file of a listening unix socket. Dropping it removes the file, unless another file has its name.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// What removes it, in the place of this process.
    opener: Option<Arc<dyn UnixSocketOpener>>,
    /// `None` if it could not be read.
    id: Option<FileId>,
    /// Another process serves the socket.
    keeps: bool,
}

impl SocketFile {
    /// The file at `path` of a socket that another process opened. It is left until [`keep`](Self::keep) says otherwise.
    pub(crate) fn inherit(path: &Path, opener: Option<&Arc<dyn UnixSocketOpener>>) -> Self {
        Self {
            path: path.to_owned(),
            opener: opener.cloned(),
            id: FileId::of(path).ok(),
            keeps: true,
        }
    }

    /// The file itself, whatever has its name now. `None` if it could not be read.
    #[cfg(feature = "admin")]
    pub(crate) const fn id(&self) -> Option<FileId> {
        self.id
    }

    /// Sets whether the file is left when this is dropped.
    pub(crate) const fn keep(&mut self, keeps: bool) {
        self.keeps = keeps;
    }
}

/// The device and the inode of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let file = fs::symlink_metadata(path)?;
        Ok(Self(file.dev(), file.ino()))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.keeps {
            return;
        }
        match &self.opener {
            Some(opener) => {
                let removed = catch("UnixSocketOpener::remove", || opener.remove(&self.path));
                if let Err(panicked) = removed {
                    error!(path = %self.path.display(), error = %panicked, "Code of the embedder panicked");
                }
            }
            // Another program may have removed it, or listen there now.
            None if FileId::of(&self.path).ok() == self.id => drop(fs::remove_file(&self.path)),
            None => {}
        }
    }
}

/// The address that stands for a client of a unix socket. `name` is the name that its kernel chose, if it has one.
///
/// All clients have the same IP address in it; those with a name differ by their scope.
pub(super) fn peer_key(name: Option<&[u8]>) -> SocketAddr {
    let number = name
        .and_then(|name| str::from_utf8(name).ok())
        .and_then(|name| u32::from_str_radix(name, 16).ok())
        .map_or(0, |number| number.wrapping_add(1));
    match Endpoint::unnamed().key() {
        SocketAddr::V6(key) => SocketAddrV6::new(*key.ip(), 0, key.flowinfo(), number).into(),
        key => key,
    }
}

/// The [key](peer_key) by which the accepting side knows the connection of `socket`, if it has a name.
pub(crate) fn own_key(socket: &Socket) -> Option<SocketAddr> {
    let addr = socket.local_addr().ok()?;
    addr.as_abstract_namespace()
        .map(|name| peer_key(Some(name)))
}

/// Displays the address of a client: `unix:` if a [key](peer_key) stands for it, as in nginx.
#[derive(Clone, Copy)]
pub(crate) struct ShownClient(pub(crate) SocketAddr);

impl fmt::Display for ShownClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Endpoint::is_unix_key(self.0) {
            true => f.write_str("unix:"),
            false => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_have_one_address_and_those_with_a_name_have_their_own() {
        let unnamed = peer_key(None);
        assert_eq!(unnamed, Endpoint::unnamed().key());
        let [a, b] = [b"0001f", b"fffff"].map(|name| peer_key(Some(name)));
        for key in [a, b] {
            assert!(Endpoint::is_unix_key(key) && key != unnamed);
            assert_eq!(key.ip(), unnamed.ip());
            assert_eq!(ShownClient(key).to_string(), "unix:");
        }
        assert_ne!(a, b);
        assert_eq!(peer_key(Some(b"a name")), unnamed);
    }

    #[derive(Debug)]
    struct Fragile(&'static str);

    impl UnixSocketOpener for Fragile {
        fn open(&self, path: &Path, _: u32) -> io::Result<UnixListener> {
            assert_ne!(self.0, "open", "no right");
            UnixListener::bind(path)
        }

        fn remove(&self, _: &Path) {
            panic!("no right");
        }
    }

    #[test]
    fn an_opener_that_panics_opens_nothing_and_a_close_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let access = SocketAccess {
            mode: 0o600,
            group: None,
        };
        let open = |opener: Fragile| {
            let opener = Arc::new(opener) as Arc<dyn UnixSocketOpener>;
            listen(&path, 1, access, Some(&opener))
        };
        let error = open(Fragile("open")).unwrap_err().to_string();
        assert!(
            error.starts_with("UnixSocketOpener::open panicked: ") && error.contains("no right"),
            "{error}"
        );
        let (_socket, file) = open(Fragile("remove")).unwrap();
        drop(file);
        assert!(path.exists());
    }
}
