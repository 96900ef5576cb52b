//! The file of `lb_ready_file`.
//!
//! keepalived watches the directory for IN_CLOSE_WRITE and IN_MOVE, reads a number, ignores what follows it, and takes a file that
//! is empty or gone for 0 (`lib/track_file.c`, `process_track_file`). So the file is replaced by a rename, is never removed, and
//! says that the server is not ready before anything else happens.
//!
//! The process that replaced the file last owns it. During an upgrade the new process replaces it once it accepts, so that the file
//! says all the time that the service is ready, and the old one takes it back if the new one ends. A supervisor changes the file in
//! place.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tracing::error;

use crate::config::ready_file::ReadyFileConfig;

/// What the file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shown {
    Ready,
    NotReady,
    /// The shutdown has begun.
    Leaving,
}

/// The file of `lb_ready_file`.
#[derive(Debug)]
pub(crate) struct ReadyFile {
    config: ReadyFileConfig,
    /// What the file should say.
    wanted: Shown,
    /// The file that was written last. It stays open, so that no other file gets its inode.
    written: Option<File>,
    /// Whether the last attempt failed, which is logged once.
    failed: bool,
    /// Whether this process writes it, and not that of another binary.
    owned: bool,
}

/// What is at the path of the file.
#[derive(Debug)]
enum Found {
    /// The file that was written last. Another program may have changed its content.
    Own,
    /// A file that another process has put in its place.
    Foreign,
    /// Nothing that can be read.
    Nothing,
}

impl ReadyFile {
    /// Writes that the server is not ready: the file of a process that was killed may say that it is.
    pub(crate) fn create(config: ReadyFileConfig) -> io::Result<Self> {
        let mut file = Self::deferred(config);
        file.owned = true;
        file.write()?;
        Ok(file)
    }

    /// A file that the process of the old binary writes until this one [claims](Self::claim) it.
    pub(crate) const fn deferred(config: ReadyFileConfig) -> Self {
        Self {
            config,
            wanted: Shown::NotReady,
            written: None,
            failed: false,
            owned: false,
        }
    }

    /// Leaves the file to the process of another binary.
    pub(crate) const fn release(&mut self) {
        self.owned = false;
    }

    /// Takes the file over from the process of another binary. Replaces it at once if this process is ready; otherwise at the next
    /// change or beat, because a process that accepts since now has not reported it yet.
    pub(crate) fn claim(&mut self) {
        self.owned = true;
        self.written = None;
        if self.wanted == Shown::Ready {
            self.try_write();
        }
    }

    pub(crate) const fn config(&self) -> &ReadyFileConfig {
        &self.config
    }

    /// Writes `shown`, unless the file says so already. An error is logged, and the next [`beat`](Self::beat) tries again. After
    /// [`Shown::Leaving`] nothing else is shown.
    pub(crate) fn show(&mut self, shown: Shown) {
        if self.wanted == Shown::Leaving {
            return;
        }
        self.wanted = shown;
        self.beat();
    }

    /// Renews the file's time of change, so that it is known that the process is alive. Writes the file if it does not say what it
    /// should, because a supervisor has changed it, or if it is gone.
    pub(crate) fn beat(&mut self) {
        if !self.owned {
            return;
        }
        match self.find() {
            Found::Foreign => {}
            Found::Own if self.renew().unwrap_or(false) => {}
            Found::Own | Found::Nothing => self.try_write(),
        }
    }

    /// The file at the path.
    fn find(&self) -> Found {
        let id = |metadata: &Metadata| (metadata.dev(), metadata.ino());
        let own = self.written.as_ref().map(File::metadata);
        let Some(Ok(own)) = own else {
            return Found::Nothing;
        };
        match fs::symlink_metadata(&self.config.path) {
            Err(_) => Found::Nothing,
            Ok(found) if id(&found) == id(&own) => Found::Own,
            Ok(_) => Found::Foreign,
        }
    }

    /// Renews the time of the own file if it says what it should. Returns whether it does.
    fn renew(&self) -> io::Result<bool> {
        let Some(file) = &self.written else {
            return Ok(false);
        };
        let content = self.content();
        let mut found = vec![0; content.len() + 1];
        let length = file.read_at(&mut found, 0)?;
        if found[..length] != *content.as_bytes() {
            return Ok(false);
        }
        file.set_modified(SystemTime::now())?;
        Ok(true)
    }

    fn try_write(&mut self) {
        let written = self.write();
        if let Err(error) = &written
            && !self.failed
        {
            let path = self.config.path.display();
            error!(%path, %error, "Readiness file not written");
        }
        self.failed = written.is_err();
    }

    fn write(&mut self) -> io::Result<()> {
        self.written = Some(replace(&self.config.path, &self.content())?);
        Ok(())
    }

    fn content(&self) -> String {
        let config = &self.config;
        let number = match self.wanted {
            Shown::Ready => config.ready,
            Shown::NotReady => config.not_ready,
            Shown::Leaving => config.leaving,
        };
        format!("{number}\n")
    }
}

/// Replaces the file at `path` by one with this content, so that no reader finds a part of it. Returns the new file.
pub(crate) fn replace(path: &Path, content: &str) -> io::Result<File> {
    let temporary = temporary(path)?;
    let _ = fs::remove_file(&temporary);
    let written = write_new(&temporary, content).and_then(|file| {
        fs::rename(&temporary, path)?;
        Ok(file)
    });
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, content: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    // Whatever the mask of the process is: what reads the file may be another user.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(content.as_bytes())?;
    Ok(file)
}

/// The name of a file in the same directory that no other process writes.
fn temporary(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}", std::process::id()));
    Ok(path.with_file_name(hidden))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn created(dir: &Path) -> (ReadyFile, PathBuf) {
        let path = dir.join("ready");
        let config = ReadyFileConfig {
            path: path.clone(),
            ready: 0,
            not_ready: -254,
            leaving: -60,
            heartbeat: Duration::from_secs(1),
        };
        (ReadyFile::create(config).unwrap(), path)
    }

    fn age(path: &Path) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }

    fn is_fresh(path: &Path) -> bool {
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        modified > SystemTime::UNIX_EPOCH
    }

    #[test]
    fn the_file_says_not_ready_at_first_and_leaving_to_the_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("ready"), "0\n").unwrap();
        let (mut file, path) = created(dir.path());
        let mut seen = Vec::new();
        seen.push(fs::read_to_string(&path).unwrap());
        for shown in [Shown::Ready, Shown::NotReady, Shown::Leaving, Shown::Ready] {
            file.show(shown);
            seen.push(fs::read_to_string(&path).unwrap());
        }
        assert_eq!(seen, ["-254\n", "0\n", "-254\n", "-60\n", "-60\n"]);
        let left = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 1, "no temporary file");
    }

    #[test]
    fn a_beat_renews_the_time_and_restores_what_another_program_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, path) = created(dir.path());
        file.show(Shown::Ready);
        let inode = fs::metadata(&path).unwrap().ino();
        age(&path);
        file.beat();
        assert!(is_fresh(&path));
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "not replaced");
        fs::write(&path, "-254\n").unwrap();
        file.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n");
        fs::remove_file(&path).unwrap();
        file.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n");
    }

    #[test]
    fn the_process_that_replaced_the_file_last_owns_it() {
        let dir = tempfile::tempdir().unwrap();
        let (mut old, path) = created(dir.path());
        old.show(Shown::Ready);
        let (mut new, _) = created(dir.path());
        old.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
        new.show(Shown::Ready);
        old.show(Shown::Leaving);
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n");
    }

    #[test]
    fn a_file_that_cannot_be_written_is_written_by_a_later_beat() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        let (mut file, path) = created(&inner);
        fs::remove_dir_all(&inner).unwrap();
        file.show(Shown::Ready);
        file.beat();
        assert!(!path.exists());
        fs::create_dir(&inner).unwrap();
        file.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "0\n");
    }
}
