//! Opens a path without following the symbolic links of a user.

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

/// Opens `path`. Creates a file if there is none.
///
/// With an `owner`, the caller has more rights than that user. A symbolic link that belongs to `owner` is an error, and so
/// is a file with several names in a directory that `owner` may write to: by either, that user could make the caller open
/// any file of the system.
///
/// Opening does not wait for the other end of a FIFO: without a reader, opening it for writing fails (`ENXIO`).
pub(super) fn open(path: &Path, owner: Option<Uid>, flags: OFlags) -> io::Result<OpenedFile> {
    let flags = flags | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let opened = match owner {
        Some(owner) => open_for(path, owner, flags)?,
        None => open_own(path, flags)?,
    };
    let flags = fcntl_getfl(&opened.file)?;
    fcntl_setfl(&opened.file, flags - OFlags::NONBLOCK)?;
    Ok(opened)
}

/// Opens a file that exists, to read it for a process of the user `owner`. It refuses what [`open`] refuses, and waits for no
/// writer of a FIFO.
pub(crate) fn open_to_read(path: &Path, owner: Uid) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(open_for(path, owner, flags)?.file)
}

/// The directory of `path` and the name in it, after all links, none of which belongs to `owner`.
pub(super) fn place(path: &Path, owner: Uid) -> io::Result<(OwnedFd, OsString)> {
    let mut resolution = PathResolution::new(owner)?;
    let last = resolution.run(path)?;
    Ok((resolution.dir, last.name))
}

fn open_own(path: &Path, flags: OFlags) -> io::Result<OpenedFile> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let file = openat(CWD, path, flags, MODE)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or_else(|| Path::new("."));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(OpenedFile {
        file: file.into(),
        dir: openat(CWD, dir, flags, Mode::empty())?,
        name: name.to_owned(),
        stat_flags: AtFlags::empty(),
    })
}

fn open_for(path: &Path, owner: Uid, flags: OFlags) -> io::Result<OpenedFile> {
    let mut resolution = PathResolution::new(owner)?;
    let last = resolution.run(path)?;
    let flags = match last.is_magic_link {
        true => flags,
        false => flags | OFlags::NOFOLLOW,
    };
    let file = openat(&resolution.dir, &last.name, flags, MODE)?;
    let opened = OpenedFile {
        file: file.into(),
        dir: resolution.dir,
        name: last.name,
        stat_flags: AtFlags::SYMLINK_NOFOLLOW,
    };
    if !last.is_magic_link {
        opened.refuse_other_names(owner)?;
    }
    Ok(opened)
}

/// An open file, and the directory and name that it was found by.
#[derive(Debug)]
pub(super) struct OpenedFile {
    pub(super) file: File,
    /// The directory, after all links.
    pub(super) dir: OwnedFd,
    pub(super) name: OsString,
    /// How [`named`](Self::named) treats a symbolic link with that name.
    stat_flags: AtFlags,
}

impl OpenedFile {
    /// The status of the name, if it still leads to the open file.
    pub(super) fn named(&self) -> io::Result<Option<Stat>> {
        let named = statat(&self.dir, &self.name, self.stat_flags)?;
        let is = fstat(&self.file)?;
        let same = (named.st_dev, named.st_ino) == (is.st_dev, is.st_ino);
        Ok(same.then_some(named))
    }

    /// Refuses a file with several names where `owner` may write to the directory, and so could link any file there.
    fn refuse_other_names(&self, owner: Uid) -> io::Result<()> {
        let dir = fstat(&self.dir)?;
        let by_others = Mode::WGRP | Mode::WOTH;
        let is_private =
            dir.st_uid != owner.as_raw() && !Mode::from_raw_mode(dir.st_mode).intersects(by_others);
        // One call returns the file and its number of names: the user may remove the name after the file was opened.
        if is_private || self.named()?.is_some_and(|is| is.st_nlink == 1) {
            return Ok(());
        }
        let what = "the file has other names, and its directory can be written to by the user that the process becomes";
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    }
}

/// The last component of a path.
struct FinalComponent {
    name: OsString,
    /// It is a magic link, as in `/proc/self/fd`: its target has no name, and only the kernel creates it.
    is_magic_link: bool,
}

/// Resolves a path component by component, as path_resolution(7), and checks each symbolic link before following it.
struct PathResolution {
    /// Links of this user are not followed.
    owner: Uid,
    dir: OwnedFd,
    /// The components that remain.
    remaining: VecDeque<OsString>,
    links: usize,
}

impl PathResolution {
    fn new(owner: Uid) -> io::Result<Self> {
        Ok(Self {
            owner,
            dir: openat(CWD, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?,
            remaining: VecDeque::new(),
            links: 0,
        })
    }

    /// Resolves the directory of the file that `path` leads to.
    fn run(&mut self, path: &Path) -> io::Result<FinalComponent> {
        self.follow(path)?;
        while let Some(name) = self.remaining.pop_front() {
            if let Some(link) = self.link(&name)? {
                if self.remaining.is_empty() && fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
                    let is_magic_link = true;
                    return Ok(FinalComponent {
                        name,
                        is_magic_link,
                    });
                }
                let target = readlinkat(&link, "", Vec::new())?;
                self.follow(Path::new(&OsString::from_vec(target.into_bytes())))?;
            } else if self.remaining.is_empty() {
                let is_magic_link = false;
                return Ok(FinalComponent {
                    name,
                    is_magic_link,
                });
            } else {
                let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                self.dir = openat(&self.dir, &name, flags, Mode::empty())?;
            }
        }
        Err(io::ErrorKind::IsADirectory.into())
    }

    /// The symbolic link `name`, if it is one.
    fn link(&self, name: &OsStr) -> io::Result<Option<OwnedFd>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = match openat(&self.dir, name, flags, Mode::empty()) {
            Err(Errno::NOENT) if self.remaining.is_empty() => return Ok(None),
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

    /// Puts the components of `path` before those that remain.
    fn follow(&mut self, path: &Path) -> io::Result<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        for component in path.components().rev() {
            match component {
                Component::RootDir => {
                    let flags = OFlags::PATH | OFlags::CLOEXEC;
                    self.dir = openat(CWD, "/", flags, Mode::empty())?;
                }
                Component::CurDir | Component::Prefix(_) => {}
                Component::Normal(_) | Component::ParentDir => {
                    self.remaining.push_front(component.as_os_str().to_owned());
                }
            }
        }
        Ok(())
    }
}
