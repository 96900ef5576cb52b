//! The descriptors of this process: counts and limits.
//!
//! Both belong to the whole process, so a test that uses them needs a test binary of its own.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The number of open descriptors.
pub fn open() -> u64 {
    // One of them is the open directory itself.
    std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1
}

/// The number of open descriptors without pipes: threads keep pipes for the next transfer.
pub fn without_pipes() -> usize {
    targets().filter(|target| !is_pipe(target)).count()
}

/// The number of open pipes, each of two descriptors.
pub fn pipes() -> usize {
    targets().filter(|target| is_pipe(target)).count() / 2
}

/// The limit on descriptors.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile)
        .current
        .expect("a finite limit on descriptors")
}

/// Sets the limit on descriptors.
pub fn set_limit(current: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = Some(current);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

fn targets() -> impl Iterator<Item = PathBuf> {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    open.filter_map(|file| std::fs::read_link(file.ok()?.path()).ok())
}

fn is_pipe(target: &Path) -> bool {
    target.to_string_lossy().starts_with("pipe:")
}
