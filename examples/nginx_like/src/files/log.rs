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
use rustix::io::Errno;

/// As many symbolic links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Opens a log to append to it, and makes it if there is none.
pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Opens a log as [`open`] does, for a process of the user `owner`, and gives that user the file, as nginx does.
pub(crate) fn open_for(path: &Path, owner: Uid) -> io::Result<File> {
    let file = try_for(path, owner)?;
    chown_to(&file, owner)?;
    Ok(file)
}

/// Opens a log as [`open_for`] does, and leaves it to its owner.
///
/// The caller may write where `owner` may not. So no symbolic link is followed that belongs to `owner`: with it, that
/// user could have any file of the system opened.
pub(super) fn try_for(path: &Path, owner: Uid) -> io::Result<File> {
    PathWalk::new(owner)?.open(path).map(File::from)
}

/// Gives a regular file with one name to `owner`. A pipe, a terminal or a file that has other names stays as it is.
fn chown_to(file: &File, owner: Uid) -> io::Result<()> {
    let is = fstat(file)?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile || is.st_nlink != 1 {
        return Ok(());
    }
    // A superuser without CAP_CHOWN, as in a container, leaves the file as it is: the server writes by its descriptor.
    let unless_denied = |done| match done {
        Err(Errno::PERM) => Ok(()),
        done => done,
    };
    if is.st_uid != owner.as_raw() {
        unless_denied(fchown(file, Some(owner), None))?;
    }
    let (mode, wanted) = (Mode::from_raw_mode(is.st_mode), Mode::RUSR | Mode::WUSR);
    if !mode.contains(wanted) {
        unless_denied(fchmod(file, mode | wanted))?;
    }
    Ok(())
}

/// Goes from directory to directory and looks at each symbolic link before it follows it.
struct PathWalk {
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

    fn open(mut self, path: &Path) -> io::Result<OwnedFd> {
        self.follow(path)?;
        while let Some(name) = self.left.pop_front() {
            if let Some(link) = self.link(&name)? {
                if self.left.is_empty() && fstatfs(&link)?.f_type == PROC_SUPER_MAGIC {
                    // The links of /proc/self/fd have targets without names, and only the kernel makes them.
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

    fn append(&self, name: &OsStr, more: OFlags) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        Ok(openat(&self.at, name, flags | OFlags::NOCTTY | more, mode)?)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use rustix::process::geteuid;

    use super::*;

    #[test]
    fn links_of_the_user_are_not_followed_and_those_of_others_are() {
        let us = geteuid();
        let them = Uid::from_raw(us.as_raw() + 1);
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("real")).unwrap();
        symlink("real", at("dir")).unwrap();
        symlink(at("real/target.log"), at("file")).unwrap();
        symlink("../dir/./target.log", at("real/twice")).unwrap();
        symlink("loop", at("loop")).unwrap();
        for path in ["file", "dir/target.log", "dir/../real/twice"] {
            let denied = try_for(&at(path), us).expect_err("a link of ours");
            assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied, "{path}");
            assert!(!at("real/target.log").exists());
        }
        for path in ["file", "dir/target.log", "dir/../real/twice"] {
            let mut file = try_for(&at(path), them).unwrap();
            writeln!(file, "{path}").unwrap();
        }
        let text = fs::read_to_string(at("real/target.log")).unwrap();
        assert_eq!(text, "file\ndir/target.log\ndir/../real/twice\n");
        // A path without links is opened.
        try_for(&at("real/target.log"), us).unwrap();
        try_for(&at("real/new.log"), us).unwrap();
        let errors = [
            ("loop", Errno::LOOP),
            ("real", Errno::ISDIR),
            ("missing/error.log", Errno::NOENT),
            ("real/new.log/error.log", Errno::NOTDIR),
        ];
        for (path, expected) in errors {
            let error = try_for(&at(path), them).expect_err(path);
            let errno = Some(expected.raw_os_error());
            assert_eq!(error.raw_os_error(), errno, "{path}");
        }
    }

    #[test]
    fn the_links_of_open_files_are_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        let open = File::create(&path).unwrap();
        let link = dir.path().join("stderr");
        symlink(format!("/proc/self/fd/{}", open.as_raw_fd()), &link).unwrap();
        let them = Uid::from_raw(geteuid().as_raw() + 1);
        writeln!(try_for(&link, them).unwrap(), "hello").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "hello\n");
    }

    #[test]
    fn a_log_becomes_the_users_and_a_file_with_other_names_does_not() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let us = geteuid();
        let is_root = us.is_root();
        // Others cannot give files away.
        let owner = if is_root { Uid::from_raw(1) } else { us };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("error.log");
        drop(open_for(&path, owner).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().uid(), owner.as_raw());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o244)).unwrap();
        drop(open_for(&path, owner).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
        let other = dir.path().join("other");
        fs::write(&other, "").unwrap();
        fs::hard_link(&other, dir.path().join("name")).unwrap();
        drop(open_for(&other, owner).unwrap());
        assert_eq!(fs::metadata(&other).unwrap().uid(), us.as_raw());
    }
}
