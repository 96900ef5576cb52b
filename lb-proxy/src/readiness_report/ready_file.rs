//! The readiness file.
//!
//! keepalived watches the directory for IN_CLOSE_WRITE and IN_MOVE, reads a number, ignores what follows it, and takes a file that
//! is empty or gone for 0 (`lib/track_file.c`, `process_track_file`). So the file is replaced by a rename, is never removed, and
//! says that the server is not ready before anything else happens.
//!
//! The process that holds the [`OwnerLock`] owns the file, and writes it again whatever another program puts in its place. A process
//! that finds it owned writes nothing until the owner ends or begins to leave: a process that fails to start, or was started by
//! mistake, does not change what the file says of the one that serves. During an upgrade the new process replaces it once it is
//! ready, so that the file says all the time that the service is ready, and the old one takes it back if the new one ends.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::SystemTime;

use tempfile::Builder;
use tracing::{error, info, warn};

use super::owner_lock::{Lock, OwnerLock};
use super::settings::ReadyFileSettings;
use crate::readiness::Readiness;

/// What the file says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shown {
    Ready,
    NotReady,
    /// The shutdown has begun.
    Leaving,
}

impl From<&Readiness> for Shown {
    fn from(readiness: &Readiness) -> Self {
        match readiness {
            readiness if readiness.is_leaving() => Self::Leaving,
            readiness if readiness.is_ready() => Self::Ready,
            _ => Self::NotReady,
        }
    }
}

/// The readiness file.
#[derive(Debug)]
pub(super) struct ReadyFile {
    config: ReadyFileSettings,
    /// What the file should say.
    wanted: Shown,
    /// The file that was written last. It stays open, so that no other file gets its inode.
    written: Option<File>,
    lock: OwnerLock,
    part: FilePart,
    /// Whether it was left to another process, which serves on.
    is_released: bool,
    /// Why the file does not say what it should. Each new problem is logged once.
    problem: Option<FileProblem>,
}

/// Which process of an upgrade writes the file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum FilePart {
    /// This one, unless a process that has nothing to do with it owns the file.
    Owner,
    /// The old one, which is this one, until the new one has replaced the file.
    Yielding,
    /// The old one, until this one is ready.
    Waiting,
    /// Another one.
    Silent,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum FileProblem {
    /// Another process owns it.
    Foreign,
    /// Writing it has failed.
    Failed,
}

/// What is at the path of the file.
#[derive(Debug, Eq, PartialEq)]
enum Found {
    /// The file that was written last. Another program may have changed its content.
    Own,
    /// A file that another program or process has put in its place.
    Foreign,
    /// Nothing that can be read.
    Nothing,
}

impl ReadyFile {
    /// Writes that the server is not ready, because the file of a process that was killed may say that it is; but nothing while
    /// a living process owns it.
    pub(super) fn create(config: ReadyFileSettings) -> io::Result<Self> {
        let mut file = Self::deferred(config);
        file.part = FilePart::Owner;
        match file.lock.acquire() {
            Lock::Other => file.note(Some(FileProblem::Foreign)),
            Lock::Held | Lock::Unknown => file.write()?,
        }
        Ok(file)
    }

    /// A file that the process of the old binary writes until this one [claims](Self::claim) it.
    pub(super) fn deferred(config: ReadyFileSettings) -> Self {
        Self {
            lock: OwnerLock::beside(&config.path),
            config,
            wanted: Shown::NotReady,
            written: None,
            part: FilePart::Silent,
            is_released: false,
            problem: None,
        }
    }

    /// Leaves the file to the process of another binary.
    pub(super) fn release(&mut self) {
        self.part = FilePart::Silent;
        self.is_released = true;
        self.problem = None;
        self.lock.release();
    }

    /// Leaves the file to the process of the new binary as soon as that replaces it, and writes it until then.
    pub(super) fn yield_to_successor(&mut self) {
        self.part = FilePart::Yielding;
        self.lock.release();
    }

    /// Takes the file over from the process of the old binary, which serves on, once this one is ready. Does nothing if it was
    /// [released](Self::release) before: this process ends, and the old one keeps it.
    pub(super) fn claim_when_ready(&mut self) {
        if self.is_released {
            return;
        }
        self.part = FilePart::Waiting;
        self.written = None;
        self.beat();
    }

    /// Takes the file over from a process that ends, and writes `shown`: what was shown last may be what the file said before the
    /// other process took it.
    pub(super) fn claim(&mut self, shown: Shown) {
        if self.part == FilePart::Owner {
            return;
        }
        if self.wanted != Shown::Leaving {
            self.wanted = shown;
        }
        self.part = FilePart::Owner;
        self.written = None;
        // The kernel may not have ended the other process entirely: then the next beat writes.
        if self.lock.acquire() != Lock::Other {
            self.beat();
        }
    }

    /// Writes that the shutdown has begun.
    pub(super) fn leave(&mut self) {
        self.part = FilePart::Owner;
        self.show(Shown::Leaving);
    }

    pub(super) const fn config(&self) -> &ReadyFileSettings {
        &self.config
    }

    /// Why the file does not say what it should, if it does not.
    pub(super) fn problem(&self) -> Option<String> {
        let path = self.config.path.display();
        let what = match self.problem? {
            FileProblem::Foreign => "belongs to another process",
            FileProblem::Failed => "cannot be written",
        };
        Some(format!("the readiness file {path} {what}"))
    }

    /// Writes `shown`, unless the file says so already. An error is logged, and the next [`beat`](Self::beat) tries again. After
    /// [`Shown::Leaving`] nothing else is shown.
    pub(super) fn show(&mut self, shown: Shown) {
        if self.wanted == Shown::Leaving {
            return;
        }
        self.wanted = shown;
        self.beat();
    }

    /// Renews the file's time of change, so that it is known that the process is alive. Writes the file if it does not say what it
    /// should, because another program has changed or replaced it, or if it is gone.
    pub(super) fn beat(&mut self) {
        match self.part {
            FilePart::Silent => return,
            FilePart::Waiting if self.wanted == Shown::NotReady => return,
            // The old process may be writing just now.
            FilePart::Waiting if self.lock.acquire() == Lock::Other => return,
            FilePart::Waiting => self.part = FilePart::Owner,
            FilePart::Owner | FilePart::Yielding => {}
        }
        // A process that leaves keeps no other one from owning the file, unless it has to write.
        let lock = match self.wanted {
            Shown::Leaving if self.find() == Found::Own => Lock::Unknown,
            _ => self.lock.acquire(),
        };
        match (lock, self.find()) {
            (Lock::Other, _) | (Lock::Unknown, Found::Foreign) => self.found_taken(),
            (_, found) => self.write_or_renew(&found),
        }
        if self.part == FilePart::Yielding || self.wanted == Shown::Leaving {
            self.lock.release();
        }
    }

    fn found_taken(&mut self) {
        match self.part {
            FilePart::Yielding => self.release(),
            // A process that leaves expects its successor to take it.
            _ if self.wanted == Shown::Leaving => {}
            _ => self.note(Some(FileProblem::Foreign)),
        }
    }

    fn write_or_renew(&mut self, found: &Found) {
        if *found == Found::Own && self.renew().unwrap_or(false) {
            return self.note(None);
        }
        if *found == Found::Foreign && self.problem.is_none() {
            let path = self.config.path.display();
            warn!(%path, "Readiness file replaced by another program: written again");
        }
        let problem = match self.write() {
            Ok(()) => None,
            Err(error) => {
                if self.problem != Some(FileProblem::Failed) {
                    let path = self.config.path.display();
                    error!(%path, %error, "Readiness file not written");
                }
                Some(FileProblem::Failed)
            }
        };
        self.note(problem);
    }

    fn note(&mut self, problem: Option<FileProblem>) {
        let path = self.config.path.display();
        match (self.problem, problem) {
            (before, Some(FileProblem::Foreign)) if before != problem => {
                error!(%path, "Readiness file belongs to another process: not written until that one ends");
            }
            (Some(_), None) => info!(%path, "Readiness file written again"),
            _ => {}
        }
        self.problem = problem;
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

    fn write(&mut self) -> io::Result<()> {
        self.written = Some(replace_file(&self.config.path, &self.content())?);
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

/// Replaces the file at `path` by one with this content, so that no reader finds a part of it.
///
/// Returns the new file, which all users may read. Blocks, and does not wait for the disk.
///
/// # Errors
///
/// Those of the file system. The old file stays then.
pub fn replace_file(path: &Path, content: &str) -> io::Result<File> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    // A random name beside it: containers that share the directory have the same process ids.
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".");
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or_else(|| Path::new("."));
    let mut new = Builder::new().prefix(&prefix).tempfile_in(directory)?;
    // Whatever the mask of the process is: what reads the file may be another user.
    new.as_file()
        .set_permissions(Permissions::from_mode(0o644))?;
    new.write_all(content.as_bytes())?;
    Ok(new.persist(path)?)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::path::PathBuf;

    use super::*;

    fn created(dir: &Path) -> (ReadyFile, PathBuf) {
        let path = dir.join("ready");
        let config = ReadyFileSettings::new(path.clone()).leaving(-60);
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
        assert_eq!(left, 2, "the file and its lock, no temporary file");
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
    fn a_second_process_writes_once_the_first_one_leaves() {
        let dir = tempfile::tempdir().unwrap();
        let (mut first, path) = created(dir.path());
        let says = || fs::read_to_string(&path).unwrap();
        first.show(Shown::Ready);
        let (mut second, _) = created(dir.path());
        assert_eq!(says(), "0\n");
        second.show(Shown::NotReady);
        first.beat();
        assert_eq!(says(), "0\n");
        assert_eq!((first.problem(), second.problem().is_some()), (None, true));
        first.show(Shown::Leaving);
        assert_eq!(says(), "-60\n");
        second.beat();
        assert_eq!((says(), second.problem()), ("-254\n".to_owned(), None));
        first.beat();
        drop(first);
        assert_eq!(says(), "-254\n");
    }

    #[test]
    fn what_another_program_puts_in_its_place_is_replaced_also_by_the_last_word() {
        let dir = tempfile::tempdir().unwrap();
        let (mut file, path) = created(dir.path());
        let edit = || {
            let edited = dir.path().join("edited");
            fs::write(&edited, "0\n").unwrap();
            fs::rename(edited, &path).unwrap();
        };
        edit();
        file.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-254\n");
        edit();
        file.show(Shown::Leaving);
        assert_eq!(fs::read_to_string(&path).unwrap(), "-60\n");
        edit();
        file.beat();
        assert_eq!(fs::read_to_string(&path).unwrap(), "-60\n");
    }

    #[test]
    fn during_an_upgrade_the_old_process_writes_until_the_new_one_is_ready_and_after_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (mut old, path) = created(dir.path());
        let says = || fs::read_to_string(&path).unwrap();
        let mut new = ReadyFile::deferred(old.config.clone());
        old.show(Shown::Ready);
        old.yield_to_successor();
        new.claim_when_ready();
        new.show(Shown::NotReady);
        age(&path);
        new.beat();
        old.beat();
        assert_eq!((says(), is_fresh(&path)), ("0\n".to_owned(), true));
        let inode = || fs::metadata(&path).unwrap().ino();
        let before = inode();
        new.show(Shown::Ready);
        assert_ne!(inode(), before, "the new process has it");
        old.show(Shown::NotReady);
        assert_eq!(says(), "0\n");
        // The way back.
        new.release();
        old.claim(Shown::NotReady);
        new.show(Shown::Leaving);
        assert_eq!(says(), "-254\n");
    }

    #[test]
    fn a_new_process_that_ends_before_the_old_one_knows_that_it_is_ready_leaves_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let (mut old, path) = created(dir.path());
        let mut new = ReadyFile::deferred(old.config.clone());
        old.show(Shown::Ready);
        new.release();
        old.yield_to_successor();
        new.claim_when_ready();
        new.show(Shown::Leaving);
        assert_eq!(fs::read_to_string(path).unwrap(), "0\n");
    }

    #[test]
    fn a_process_that_takes_the_file_back_does_not_write_what_it_showed_before() {
        let dir = tempfile::tempdir().unwrap();
        let (mut old, path) = created(dir.path());
        old.show(Shown::Ready);
        old.release();
        // It does not accept while the new process does.
        old.show(Shown::NotReady);
        old.claim(Shown::Ready);
        assert_eq!(fs::read_to_string(path).unwrap(), "0\n");
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
