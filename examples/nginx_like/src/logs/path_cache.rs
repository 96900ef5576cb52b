//! Files whose names have variables, opened for each line or kept open.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

/// `open_log_file_cache`: which files are kept open.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct FileCacheSettings {
    /// How many files at most. The one that was not used for the longest time is closed.
    pub(crate) max: usize,
    /// A file that is used less than `min_uses` times in this time is closed.
    pub(crate) inactive: Duration,
    pub(crate) min_uses: u64,
    /// How long a file is used before its name is looked up again.
    pub(crate) valid: Duration,
}

/// How often files that are not in use are looked for: it takes time for each open file.
const INTERVAL: Duration = Duration::from_secs(1);

/// Opens files by name.
#[derive(Debug)]
pub(super) struct PathCache {
    settings: Option<FileCacheSettings>,
    /// When files that are not in use were looked for.
    swept_at: Option<Instant>,
    open: HashMap<PathBuf, OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    checked_at: Instant,
    used_at: Instant,
    uses: u64,
}

impl PathCache {
    pub(super) fn new(settings: Option<FileCacheSettings>) -> Self {
        Self {
            settings,
            swept_at: None,
            open: HashMap::new(),
        }
    }

    /// Calls `write` with the file at `path`, which is created if there is none. An error is one of opening it.
    pub(super) fn with<T>(
        &mut self,
        path: &Path,
        now: Instant,
        write: impl FnOnce(&File) -> T,
    ) -> io::Result<T> {
        let Some(settings) = self.settings else {
            return Ok(write(&open(path)?));
        };
        self.close_unused(settings, now);
        if let Some(found) = self.open.get_mut(path) {
            if now.duration_since(found.checked_at) >= settings.valid {
                if is_still(&found.file, path) {
                    found.checked_at = now;
                } else {
                    found.file = open(path)?;
                    found.checked_at = now;
                }
            }
            found.used_at = now;
            found.uses += 1;
            return Ok(write(&found.file));
        }
        if self.open.len() >= settings.max {
            let oldest = self.open.iter().min_by_key(|(_, file)| file.used_at);
            if let Some(oldest) = oldest.map(|(path, _)| path.clone()) {
                self.open.remove(&oldest);
            }
        }
        let file = OpenFile {
            file: open(path)?,
            checked_at: now,
            used_at: now,
            uses: 1,
        };
        let kept = self.open.entry(path.to_owned()).insert_entry(file);
        Ok(write(&kept.get().file))
    }

    /// Closes all files, so that the next lines open them by their names.
    pub(super) fn clear(&mut self) {
        self.open.clear();
    }

    fn close_unused(&mut self, settings: FileCacheSettings, now: Instant) {
        let swept = self.swept_at.map(|at| now.duration_since(at));
        if swept.is_some_and(|age| age < INTERVAL) {
            return;
        }
        self.swept_at = Some(now);
        self.open.retain(|_, file| {
            if now.duration_since(file.used_at) < settings.inactive {
                return true;
            }
            // A file that was used often enough gets another period.
            let is_kept = file.uses >= settings.min_uses.max(2);
            file.uses = 0;
            file.used_at = now;
            is_kept
        });
    }
}

/// Opens a file to append to it. A pipe without a reader is an error, as with other logs.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let options = options.append(true).create(true).mode(0o644);
    options.custom_flags(nonblocking).open(path)
}

/// Whether `file` is what `path` names now.
fn is_still(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(named)) = (file.metadata(), path.metadata()) else {
        return false;
    };
    (open.dev(), open.ino()) == (named.dev(), named.ino())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    fn settings() -> FileCacheSettings {
        FileCacheSettings {
            max: 2,
            inactive: Duration::from_secs(600),
            min_uses: 1,
            valid: Duration::from_secs(600),
        }
    }

    fn append(cache: &mut PathCache, path: &Path, text: &str) {
        append_at(cache, path, Instant::now(), text);
    }

    fn append_at(cache: &mut PathCache, path: &Path, now: Instant, text: &str) {
        let write = |mut file: &File| file.write_all(text.as_bytes());
        cache.with(path, now, write).unwrap().unwrap();
    }

    #[test]
    fn unused_files_are_looked_for_once_a_second_and_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut cache = PathCache::new(Some(FileCacheSettings {
            max: 9,
            inactive: Duration::from_millis(100),
            ..settings()
        }));
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        append_at(&mut cache, &path("a"), at(0), "1");
        // It is unused, and not looked for: a line pays for no other file.
        append_at(&mut cache, &path("b"), at(999), "1");
        assert_eq!(cache.open.len(), 2);
        append_at(&mut cache, &path("b"), at(1000), "2");
        assert!(!cache.open.contains_key(&path("a")));
        assert_eq!(fs::read_to_string(path("b")).unwrap(), "12");
    }

    #[test]
    fn a_file_is_kept_open_until_others_need_its_place_or_its_name_is_due() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut cache = PathCache::new(Some(settings()));
        append(&mut cache, &path("a"), "1");
        fs::rename(path("a"), path("old")).unwrap();
        append(&mut cache, &path("a"), "2");
        assert!(!path("a").exists(), "the open file goes on");
        append(&mut cache, &path("b"), "1");
        append(&mut cache, &path("c"), "1");
        assert_eq!(cache.open.len(), 2);
        append(&mut cache, &path("a"), "3");
        assert_eq!(fs::read_to_string(path("old")).unwrap(), "12");
        assert_eq!(fs::read_to_string(path("a")).unwrap(), "3");
        let at_once = FileCacheSettings {
            valid: Duration::ZERO,
            ..settings()
        };
        let mut cache = PathCache::new(Some(at_once));
        append(&mut cache, &path("d"), "1");
        fs::rename(path("d"), path("moved")).unwrap();
        append(&mut cache, &path("d"), "2");
        assert_eq!(fs::read_to_string(path("d")).unwrap(), "2");
    }

    #[test]
    fn without_a_cache_no_file_stays_open_and_a_missing_directory_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = PathCache::new(None);
        append(&mut cache, &dir.path().join("a"), "1");
        assert!(cache.open.is_empty());
        let missing = cache.with(&dir.path().join("no/a"), Instant::now(), |_| ());
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
