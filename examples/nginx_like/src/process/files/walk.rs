//! Opens a path without the symbolic links of a user.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, Stat, Uid, fcntl_getfl, fcntl_setfl,
    fstat, fstatfs, openat, readlinkat, statat,
};
use rustix::io::Errno;

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// The rights of a new file.
const MODE: Mode = Mode::from_bits_retain(0o644);

/// Opens `path`, and makes a file if there is none.
///
/// With an `owner`, the caller may write where that user may not. So a symbolic link that belongs to `owner` is an error,
/// and so is a file with several names in a directory that `owner` may write to: with either, that user could have any
/// file of the system opened.
///
/// Opening does not wait for the other end of a FIFO: without a reader, opening it for writing fails (`ENXIO`).
pub(super) fn open(path: &Path, owner: Option<Uid>, flags: OFlags) -> io::Result<Opened> {
    let flags = flags | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = match owner {
        Some(owner) => open_for(path, owner, flags)?,
        None => open_own(path, flags)?,
    };
    let flags = fcntl_getfl(&opened.file)?;
    fcntl_setfl(&opened.file, flags - OFlags::NONBLOCK)?;
    Ok(opened)
}

fn open_own(path: &Path, flags: OFlags) -> io::Result<Opened> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let file = openat(CWD, path, flags, MODE)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(Opened {
        file: file.into(),
        dir: openat(CWD, dir, flags, Mode::empty())?,
        name: name.to_owned(),
        look: AtFlags::empty(),
    })
}

fn open_for(path: &Path, owner: Uid, flags: OFlags) -> io::Result<Opened> {
    let mut walk = PathWalk::new(owner)?;
    let last = walk.go(path)?;
    let flags = match last.is_of_kernel {
        true => flags,
        false => flags | OFlags::NOFOLLOW,
    };
    let file = openat(&walk.at, &last.name, flags, MODE)?;
    let opened = Opened {
        file: file.into(),
        dir: walk.at,
        name: last.name,
        look: AtFlags::SYMLINK_NOFOLLOW,
    };
    if !last.is_of_kernel {
        opened.refuse_other_names(owner)?;
    }
    Ok(opened)
}

/// A file that is open, and where its name is.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// The directory, behind all links.
    pub(super) dir: OwnedFd,
    pub(super) name: OsString,
    /// Whether a symbolic link with that name counts as the file.
    look: AtFlags,
}

impl Opened {
    /// What the name leads to now, if that is the open file.
    pub(super) fn named(&self) -> io::Result<Option<Stat>> {
        let named = statat(&self.dir, &self.name, self.look)?;
        let is = fstat(&self.file)?;
        let same = (named.st_dev, named.st_ino) == (is.st_dev, is.st_ino);
        Ok(same.then_some(named))
    }

    /// A user that may write to the directory can give a name in it to a file of another user.
    fn refuse_other_names(&self, owner: Uid) -> io::Result<()> {
        let dir = fstat(&self.dir)?;
        let by_others = Mode::WGRP | Mode::WOTH;
        let is_private =
            dir.st_uid != owner.as_raw() && !Mode::from_raw_mode(dir.st_mode).intersects(by_others);
        // The look at the name and at the number of names is one: the user may remove the name behind the open.
        if is_private || self.named()?.is_some_and(|is| is.st_nlink == 1) {
            return Ok(());
        }
        let what = "the file has other names, and its directory can be written to by the user that the process becomes";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    }
}

/// The last name of a path.
struct Last {
    name: OsString,
    /// It is one of the links of `/proc/self/fd`: their targets have no names, and only the kernel makes them.
    is_of_kernel: bool,
}

/// Goes from directory to directory and looks at each symbolic link before it follows it.
struct PathWalk {
    /// Links of this user are not followed.
    owner: Uid,
    at: OwnedFd,
    /// What is left of the path.
    left: VecDeque<OsString>,
    links: usize,
}

impl PathWalk {
    fn new(owner: Uid) -> io::Result<Self> {
        Ok(Self {
            owner,
            at: openat(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            left: VecDeque::new(),
            links: 0,
        })
    }

    /// Goes to the directory of the file that `path` leads to.
    fn go(&mut self, path: &Path) -> io::Result<Last> {
        self.follow(path)?;
        while let Some(name) = self.left.pop_front() {
            if let Some(link) = self.link(&name)? {
                if self.left.is_empty() && fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
                    let is_of_kernel = true;
                    return Ok(Last { name, is_of_kernel });
                }
                let target = readlinkat(&link, "", Vec::new())?;
                self.follow(Path::new(&OsString::from_vec(target.into_bytes())))?;
            } else if self.left.is_empty() {
                let is_of_kernel = false;
                return Ok(Last { name, is_of_kernel });
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
            Err(Errno::NOENT) if self.left.is_empty() => return Ok(None),
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
            return Err(Errno::LOOP.into());
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
}
