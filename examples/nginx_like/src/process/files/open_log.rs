//! Opens log files.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Uid, fchmod, fchown, fstat};
use rustix::io::Errno;

use super::path_resolution;

/// Opens a log to append to it. Creates the file if there is none.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    append(path, None)
}

/// Opens a log as [`open`] does, for a process of the user `owner`, and changes the owner of the file to that user, as
/// nginx does.
pub(crate) fn open_for(path: &Path, owner: Uid) -> io::Result<File> {
    let file = try_for(path, owner)?;
    chown_to(&file, owner)?;
    Ok(file)
}

/// Opens a log as [`open_for`] does, and does not change its owner.
pub(super) fn try_for(path: &Path, owner: Uid) -> io::Result<File> {
    append(path, Some(owner))
}

fn append(path: &Path, owner: Option<Uid>) -> io::Result<File> {
    let opened = path_resolution::open(path, owner, OFlags::WRONLY | OFlags::APPEND)?;
    Ok(opened.file)
}

/// Changes the owner of a regular file with one name. A pipe, a terminal or a file with several names is not changed.
fn chown_to(file: &File, owner: Uid) -> io::Result<()> {
    let is = fstat(file)?;
    if FileType::from_raw_mode(is.st_mode) != FileType::RegularFile || is.st_nlink != 1 {
        return Ok(());
    }
    // A superuser without CAP_CHOWN, as in a container, does not change the file: the server writes by its descriptor.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;

    use rustix::process::geteuid;

    use super::*;

    #[test]
    fn links_of_the_user_are_refused_and_links_of_other_users_are_followed() {
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
            let denied = try_for(&at(path), us).expect_err("a link of the user");
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
    fn a_log_changes_its_owner_and_a_file_with_other_names_does_not() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let us = geteuid();
        let is_root = us.is_root();
        // Only the superuser can change an owner.
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
        let them = Uid::from_raw(us.as_raw() + 1);
        drop(open_for(&other, them).unwrap());
        assert_eq!(fs::metadata(&other).unwrap().uid(), us.as_raw());
    }

    #[test]
    fn a_file_with_other_names_is_refused_in_a_directory_that_the_user_can_write_to() {
        use std::os::unix::fs::PermissionsExt;
        let us = geteuid();
        let them = Uid::from_raw(us.as_raw() + 1);
        let dir = tempfile::tempdir().unwrap();
        let [path, name] = ["error.log", "name"].map(|name| dir.path().join(name));
        fs::write(&path, "precious").unwrap();
        try_for(&path, us).expect("a file with one name");
        fs::hard_link(&path, &name).unwrap();
        for path in [&path, &name] {
            let denied = try_for(path, us).expect_err("the user's directory");
            assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
            try_for(path, them).expect("a directory of another user");
        }
        let writable = fs::Permissions::from_mode(0o777);
        fs::set_permissions(dir.path(), writable).unwrap();
        try_for(&name, them).expect_err("a directory that the user may write to");
        open(&name).expect("the caller's own rights");
    }

    #[test]
    fn a_fifo_without_a_reader_is_an_error_and_one_with_a_reader_blocks_later() {
        use rustix::fs::{CWD, fcntl_getfl, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::from(0o644), 0).unwrap();
        let us = geteuid();
        for opened in [open(&path), try_for(&path, us)] {
            let errno = opened.expect_err("no reader").raw_os_error();
            assert_eq!(errno, Some(Errno::NXIO.raw_os_error()));
        }
        // Opening for reading and writing does not wait.
        let both = fs::OpenOptions::new().read(true).write(true).open(&path);
        let _reader = both.unwrap();
        for opened in [open(&path), try_for(&path, us)] {
            let flags = fcntl_getfl(opened.unwrap()).unwrap();
            assert!(!flags.contains(OFlags::NONBLOCK));
        }
    }
}
