//! The file with the process id.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, FileType, OFlags, Uid, fstat, renameat, unlinkat};
use tracing::warn;

use super::path_resolution::{self, OpenedFile};
use crate::process::helper::client::Helper;

/// What nginx appends to the name of the pid file of a process that has started a new binary.
pub(crate) const OLD_SUFFIX: &str = ".oldbin";

/// A pid file. Dropping this removes the file.
#[derive(Debug)]
pub(crate) enum PidGuard {
    Own(PidFile),
    ByHelper(HelperPid),
}

impl PidGuard {
    /// A pid file that `helper` has opened.
    pub(crate) fn by_helper(path: &Path, helper: &Arc<Helper>) -> Self {
        Self::ByHelper(HelperPid {
            path: path.to_owned(),
            helper: Arc::clone(helper),
        })
    }

    /// Writes the id of this process.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        match self {
            Self::Own(file) => file.write(std::process::id()),
            Self::ByHelper(file) => file.helper.write_pid(&file.path),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Own(file) => file.path(),
            Self::ByHelper(file) => &file.path,
        }
    }

    /// Renames the file to [`OLD_SUFFIX`], because a new binary writes its own.
    pub(crate) fn retire(&mut self) -> io::Result<()> {
        match self {
            Self::Own(file) => file.retire(),
            Self::ByHelper(file) => file.helper.retire_pid(&file.path),
        }
    }

    /// Undoes [`retire`](Self::retire), if that was done. Replaces the file of a new binary.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        match self {
            Self::Own(file) => file.restore(),
            Self::ByHelper(file) => file.helper.restore_pid(&file.path),
        }
    }
}

/// A pid file that the helper writes and removes.
#[derive(Debug)]
pub(crate) struct HelperPid {
    path: PathBuf,
    helper: Arc<Helper>,
}

impl Drop for HelperPid {
    fn drop(&mut self) {
        // At the end of the process the helper has removed the file already, unless it died before.
        if self.helper.has_removed_all() {
            return;
        }
        if let Err(error) = self.helper.remove_pid(&self.path) {
            warn!(path = %self.path.display(), %error, "Pid file not removed");
        }
    }
}

/// The file with the process id. Dropping this removes the file, unless another process has written its own id to it.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    /// What was written; empty at first.
    content: String,
    opened: OpenedFile,
    /// Its name has the suffix, and so have `path` and `opened.name`.
    is_retired: bool,
}

impl PidFile {
    /// Opens `path`. Creates a file if there is none.
    ///
    /// With an `owner` the caller has more rights than that user: a link of that user is an error, and so is a file that
    /// is not regular.
    pub(crate) fn open(path: &Path, owner: Option<Uid>) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            content: String::new(),
            opened: Self::try_open(path, owner)?,
            is_retired: false,
        })
    }

    /// Replaces the content of the file by the id `pid`.
    pub(crate) fn write(&mut self, pid: u32) -> io::Result<()> {
        let mut file = &self.opened.file;
        // Pipes and terminals have no length.
        if is_regular(&self.opened)? {
            file.set_len(0)?;
        }
        self.content = format!("{pid}\n");
        file.write_all(self.content.as_bytes())
    }

    /// Renames the file by [`OLD_SUFFIX`]. A file that is not regular, or that another process has replaced, is left.
    pub(crate) fn retire(&mut self) -> io::Result<()> {
        if self.is_retired || !self.has_its_name()? || !is_regular(&self.opened)? {
            return Ok(());
        }
        // The name behind links may be another than that of the path.
        self.rename(with_suffix(&self.opened.name), with_suffix(&self.path))?;
        self.is_retired = true;
        Ok(())
    }

    /// Undoes [`retire`](Self::retire), if that was done.
    pub(crate) fn restore(&mut self) -> io::Result<()> {
        if let (true, Some(name), Some(path)) = (
            self.is_retired && self.has_its_name()?,
            without_suffix(&self.opened.name),
            without_suffix(&self.path),
        ) {
            self.rename(name, path)?;
            self.is_retired = false;
        }
        Ok(())
    }

    /// Whether no other process has replaced or removed the file.
    fn has_its_name(&self) -> io::Result<bool> {
        match self.opened.named() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            named => Ok(named?.is_some()),
        }
    }

    fn rename(&mut self, name: OsString, path: impl Into<PathBuf>) -> io::Result<()> {
        let opened = &mut self.opened;
        renameat(&opened.dir, &opened.name, &opened.dir, &name)?;
        opened.name = name;
        self.path = path.into();
        Ok(())
    }

    /// Whether a pid file can be written at `path`. As with nginx an empty file may remain; the content is not changed.
    pub(crate) fn check(path: &Path, owner: Option<Uid>) -> io::Result<()> {
        Self::try_open(path, owner).map(drop)
    }

    fn try_open(path: &Path, owner: Option<Uid>) -> io::Result<OpenedFile> {
        let opened = path_resolution::open(path, owner, OFlags::RDWR)?;
        if owner.is_some() && !is_regular(&opened)? {
            let what = "a pid file must be a regular file where \"user\" names another user";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        }
        Ok(opened)
    }

    /// Where the file is now.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path that it was opened with.
    pub(crate) fn opened_at(&self) -> PathBuf {
        match without_suffix(&self.path) {
            Some(path) if self.is_retired => path.into(),
            _ => self.path.clone(),
        }
    }

    fn remove(&self) -> io::Result<()> {
        let OpenedFile {
            file, dir, name, ..
        } = &self.opened;
        // A successor that has started already has written its own file, or its own id. The content is read from the open
        // file: its name may lead to a FIFO now, which would block.
        if self.opened.named()?.is_none() || !is_regular(&self.opened)? || !self.is_ours()? {
            return Ok(());
        }
        // If the user may not remove the file, it is emptied, so that it names no process.
        unlinkat(dir, name, AtFlags::empty())
            .map_err(io::Error::from)
            .or_else(|_| file.set_len(0))
    }

    fn is_ours(&self) -> io::Result<bool> {
        let mut bytes = vec![0; self.content.len() + 1];
        let read = self.opened.file.read_at(&mut bytes, 0)?;
        Ok(bytes[..read] == *self.content.as_bytes())
    }
}

fn with_suffix(name: impl AsRef<OsStr>) -> OsString {
    let mut name = name.as_ref().to_owned();
    name.push(OLD_SUFFIX);
    name
}

fn without_suffix(name: impl AsRef<OsStr>) -> Option<OsString> {
    let name = name.as_ref().as_bytes();
    let before = name.strip_suffix(OLD_SUFFIX.as_bytes())?;
    Some(OsStr::from_bytes(before).to_owned())
}

fn is_regular(opened: &OpenedFile) -> io::Result<bool> {
    let mode = fstat(&opened.file)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::RegularFile)
}

impl Drop for PidFile {
    fn drop(&mut self) {
        match self.remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %self.path.display(), %error, "Pid file not removed");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, Mode, mknodat};
    use rustix::process::geteuid;

    use super::*;

    fn written(path: &Path, pid: u32, owner: Option<Uid>) -> io::Result<PidFile> {
        let mut file = PidFile::open(path, owner)?;
        file.write(pid)?;
        Ok(file)
    }

    #[test]
    fn a_pid_file_that_was_not_written_keeps_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        drop(PidFile::open(&path, None).unwrap());
        assert!(!path.exists());
        fs::write(&path, "18000\n").unwrap();
        let mut file = PidFile::open(&path, None).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "18000\n");
        file.write(17).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "17\n");
        fs::write(&path, "18000\n").unwrap();
        drop(PidFile::open(&path, None).unwrap());
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "18000\n");
    }

    #[test]
    fn only_its_own_content_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        drop(written(&path, 17, None).unwrap());
        assert!(!path.exists());
        // The successor writes into the same file, or replaces it.
        let replace: [fn(&Path); 2] = [
            |path| fs::write(path, "18\n").unwrap(),
            |path| {
                let new = path.with_extension("new");
                fs::write(&new, "18\n").unwrap();
                fs::rename(new, path).unwrap();
            },
        ];
        for replace in replace {
            let file = written(&path, 17, None).unwrap();
            replace(&path);
            drop(file);
            assert_eq!(fs::read_to_string(&path).unwrap(), "18\n");
        }
        // A file that was removed already causes no warning.
        let file = written(&path, 17, None).unwrap();
        fs::remove_file(&path).unwrap();
        file.remove().unwrap_err();
        drop(file);
    }

    fn fifo(path: &Path) {
        let _ = fs::remove_file(path);
        mknodat(CWD, path, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    }

    #[test]
    fn a_link_of_the_user_does_not_lead_to_another_file() {
        let us = geteuid();
        let dir = tempfile::tempdir().unwrap();
        let [path, victim, other] = ["lb.pid", "victim", "other"].map(|name| dir.path().join(name));
        fs::write(&victim, "precious").unwrap();
        let links: [fn(&Path, &Path); 2] = [
            |victim, path| symlink(victim, path).unwrap(),
            |victim, path| fs::hard_link(victim, path).unwrap(),
        ];
        for link in links {
            link(&victim, &path);
            let denied = written(&path, 17, Some(us)).expect_err("a link of the user");
            assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
            PidFile::check(&path, Some(us)).expect_err("a link of the user");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
            fs::remove_file(&path).unwrap();
        }
        // Nor does a link that replaces the file later.
        let file = written(&path, 17, Some(us)).unwrap();
        fs::write(&other, "17\n").unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        drop(file);
        assert_eq!(fs::read_to_string(&other).unwrap(), "17\n");
        assert!(path.is_symlink());
        // Without an owner, links are followed with the rights of the process, and the link is removed at the end.
        let file = written(&path, 18, None).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "18\n");
        drop(file);
        assert!(!path.is_symlink());
    }

    #[test]
    fn a_fifo_blocks_neither_the_writing_nor_the_removal() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lb.pid");
        let us = geteuid();
        for owner in [None, Some(us)] {
            let file = written(&path, 17, owner).unwrap();
            fifo(&path);
            drop(file);
            assert!(path.exists());
            fs::remove_file(&path).unwrap();
        }
        fifo(&path);
        written(&path, 17, Some(us)).expect_err("no regular file");
        drop(written(&path, 17, None).unwrap());
        // Some configurations name /dev/null to have no pid file.
        drop(written(Path::new("/dev/null"), 17, None).unwrap());
        assert!(path.exists() && Path::new("/dev/null").exists());
    }
}
