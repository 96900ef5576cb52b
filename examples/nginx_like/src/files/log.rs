//! Opens log files.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{
    CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Uid, fchmod, fchown, fstat, fstatfs, openat,
    readlinkat,
};

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Opens a log to append to it, and makes it if there is none.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Opens a log as [`open`] does, for a process of the user `owner`, and gives that user the file, as nginx does.
///
/// The caller may write where `owner` may not. So no symbolic link is followed that belongs to `owner`: with it, that
/// user could have any file of the system opened.
pub(crate) fn open_for(path: &Path, owner: Uid) -> io::Result<File> {
    let file = File::from(Walk::new(owner)?.open(path)?);
    give(&file, owner)?;
    Ok(file)
}

/// Gives a regular file with one name to `owner`. A pipe, a terminal or a file that has other names stays as it is.
fn give(file: &File, owner: Uid) -> io::Result<()> {
    let is = fstat(file)?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile || is.st_nlink != 1 {
        return Ok(());
    }
    if is.st_uid != owner.as_raw() {
        fchown(file, Some(owner), None)?;
    }
    let (mode, wanted) = (Mode::from_raw_mode(is.st_mode), Mode::RUSR | Mode::WUSR);
    if !mode.contains(wanted) {
        fchmod(file, mode | wanted)?;
    }
    Ok(())
}

/// Goes from directory to directory and looks at each symbolic link before it follows it.
struct Walk {
    owner: Uid,
    at: OwnedFd,
    /// What is left of the path.
    left: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(owner: Uid) -> io::Result<Self> {
        Ok(Self {
            owner,
            at: openat(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            left: VecDeque::new(),
            links: 0,
        })
    }

    fn open(mut self, path: &Path) -> io::Result<OwnedFd> {
        self.follow(path)?;
        while let Some(name) = self.left.pop_front() {
            if let Some(link) = self.link(&name)? {
                if fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
                    // Links such as those of /proc/self/fd have no target with a name, and only the kernel makes them.
                    return self.append(&name, OFlags::empty());
                }
                let target = readlinkat(&link, "", Vec::new())?;
                self.follow(Path::new(&OsString::from_vec(target.into_bytes())))?;
            } else if self.left.is_empty() {
                return self.append(&name, OFlags::NOFOLLOW);
            } else {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.at = openat(&self.at, &name, flags, Mode::empty())?;
            }
        }
        Err(io::ErrorKind::IsADirectory.into())
    }

    /// The symbolic link `name`, if it is one.
    fn link(&self, name: &OsStr) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match openat(&self.at, name, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) if self.left.is_empty() => return Ok(None),
            found => found?,
        };
        let is = fstat(&found)?;
        if FileType::from_raw_mode(is.st_mode) != FileType::Symlink {
            return Ok(None);
        }
        if is.st_uid == self.owner.as_raw() {
            let what =
                "a symbolic link on the way to it belongs to the user that the process becomes";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(Some(found))
    }

    /// Puts `path` before what is left.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        for component in path.components().rev() {
            match component {
                Component::RootDir => {
                    let flags = OFlags::PATH | OFlags::CLOEXEC;
                    self.at = openat(CWD, "/", flags, Mode::empty())?;
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(_) | Component::ParentDir => {
                    self.left.push_front(component.as_os_str().to_owned());
                }
            }
        }
        Ok(())
    }

    fn append(&self, name: &OsStr, more: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        Ok(openat(&self.at, name, flags | OFlags::NOCTTY | more, mode)?)
    }
}
