//! Listening unix domain sockets that the superuser opens for a process that has become another user.

use std::ffi::OsString;
use std::fs::{Permissions, set_permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Uid, fstat, openat, statat, unlinkat};

use super::path_resolution;

/// The permissions that nginx gives to such a file.
const MODE: u32 = 0o666;

/// The file of a listening socket. Dropping this removes it, unless another file has its name.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The directory, after all links, and the name in it.
    dir: OwnedFd,
    name: OsString,
    is: Stat,
    /// Another process serves the socket.
    keeps: bool,
}

impl SocketFile {
    /// Opens a listening socket at `path`, where there must be no file. A symbolic link of `owner` on the way is an error:
    /// by it, that user could make the superuser create and remove files anywhere.
    pub(crate) fn open(path: &Path, owner: Uid) -> io::Result<(UnixListener, Self)> {
        let (dir, name) = path_resolution::place(path, owner)?;
        let in_dir = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string());
        let socket = UnixListener::bind(in_dir.join(&name))?;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&dir, &name, flags, Mode::empty())?;
        let is = fstat(&made)?;
        // A user that may write to the directory may have replaced the file.
        if FileType::from_raw_mode(is.st_mode) != FileType::Socket || is.st_nlink != 1 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let file = Self {
            path: path.to_owned(),
            dir,
            name,
            is,
            keeps: false,
        };
        // The open file itself, whatever its name leads to now.
        let made = format!("/proc/self/fd/{}", made.as_raw_fd());
        set_permissions(made, Permissions::from_mode(MODE))?;
        Ok((socket, file))
    }

    /// The file at `path` of a socket that another process has opened. A symbolic link of `owner` on the way is an error.
    pub(crate) fn adopt(path: &Path, owner: Uid) -> io::Result<Self> {
        let (dir, name) = path_resolution::place(path, owner)?;
        let is = statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(is.st_mode) != FileType::Socket {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            path: path.to_owned(),
            dir,
            name,
            is,
            keeps: false,
        })
    }

    /// Sets whether the file is left when this is dropped.
    pub(crate) const fn keep(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    /// Gives the file up, and leaves it.
    pub(crate) fn leave(mut self) {
        self.keeps = true;
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.keeps {
            return;
        }
        let named = statat(&self.dir, &self.name, AtFlags::SYMLINK_NOFOLLOW);
        let id = |stat: &Stat| (stat.st_dev, stat.st_ino);
        if named.is_ok_and(|named| id(&named) == id(&self.is)) {
            // Another program may have removed it just now.
            let _ = unlinkat(&self.dir, &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixStream;

    use rustix::process::geteuid;

    use super::*;

    fn other_user() -> Uid {
        Uid::from_raw(geteuid().as_raw() + 1)
    }

    #[test]
    fn the_file_can_be_used_by_all_and_is_removed_unless_it_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let (socket, file) = SocketFile::open(&path, other_user()).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        socket.accept().unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        let error = SocketFile::open(&path, other_user()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(file);
        assert!(!path.exists());

        let (_socket, file) = SocketFile::open(&path, other_user()).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another").unwrap();
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_link_of_the_user_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real");
        std::fs::create_dir(&real).unwrap();
        symlink(&real, dir.path().join("link")).unwrap();
        let path = dir.path().join("link/a.sock");
        let user = Uid::from_raw(geteuid().as_raw());
        let error = SocketFile::open(&path, user).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        SocketFile::open(&path, other_user()).unwrap();
    }
}
