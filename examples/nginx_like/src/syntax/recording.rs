//! Records what reading a configuration finds on the disk, for another process that may not read it.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// The results of all reads of files and directories, in order. A configuration is a function of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recording(VecDeque<RecordedAnswer>);

#[derive(Debug, PartialEq)]
enum RecordedAnswer {
    Files(Result<Vec<PathBuf>, String>),
    Bytes(Result<Vec<u8>, ReadFailure>),
}

/// Why a file was not read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ReadFailure {
    pub(crate) step: ReadStep,
    /// The system's number of the error.
    errno: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ReadStep {
    Open,
    Read,
}

/// Where a configuration is read from.
#[derive(Debug)]
pub(crate) enum FileSource {
    Disk,
    /// The disk. What it answers is recorded.
    Recorded(Recording),
    /// A recording. The disk is not read.
    Replayed(Recording),
}

impl FileSource {
    /// The files that `glob` finds on the disk.
    pub(crate) fn find(
        &mut self,
        glob: impl FnOnce() -> Result<Vec<PathBuf>, String>,
    ) -> Result<Vec<PathBuf>, String> {
        match self {
            Self::Disk => glob(),
            Self::Recorded(record) => {
                let found = glob();
                record.0.push_back(RecordedAnswer::Files(found.clone()));
                found
            }
            Self::Replayed(record) => match record.0.pop_front() {
                Some(RecordedAnswer::Files(found)) => found,
                _ => Err("the recording of the configuration is incomplete".to_owned()),
            },
        }
    }

    /// The first `limit` bytes of a file.
    pub(crate) fn read(&mut self, path: &Path, limit: u64) -> Result<Vec<u8>, ReadFailure> {
        match self {
            Self::Disk => read(path, limit),
            Self::Recorded(record) => {
                let bytes = read(path, limit);
                record.0.push_back(RecordedAnswer::Bytes(bytes.clone()));
                bytes
            }
            Self::Replayed(record) => match record.0.pop_front() {
                Some(RecordedAnswer::Bytes(bytes)) => bytes,
                _ => Err(ReadFailure::at(ReadStep::Read)(
                    io::ErrorKind::InvalidData.into(),
                )),
            },
        }
    }

    /// What was recorded; nothing if the disk was read without recording.
    pub(crate) fn into_recording(self) -> Recording {
        match self {
            Self::Disk => Recording::default(),
            Self::Recorded(record) | Self::Replayed(record) => record,
        }
    }
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReadFailure> {
    let file = File::open(path).map_err(ReadFailure::at(ReadStep::Open))?;
    let mut bytes = Vec::new();
    let read = file.take(limit).read_to_end(&mut bytes);
    read.map_err(ReadFailure::at(ReadStep::Read))?;
    Ok(bytes)
}

impl ReadFailure {
    fn at(step: ReadStep) -> impl FnOnce(io::Error) -> Self {
        move |error| Self {
            step,
            errno: error.raw_os_error(),
        }
    }

    pub(crate) fn into_source(self) -> io::Error {
        match self.errno {
            Some(errno) => io::Error::from_raw_os_error(errno),
            None => io::ErrorKind::Other.into(),
        }
    }
}

const FILES: u8 = 0;
const NO_FILES: u8 = 1;
const BYTES: u8 = 2;
const NOT_OPENED: u8 = 3;
const NOT_READ: u8 = 4;

impl Recording {
    /// The recording as bytes, for [`from_bytes`](Self::from_bytes) in another process of the same binary.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |tag, parts: &[&[u8]]| {
            bytes.push(tag);
            bytes.extend((parts.len() as u64).to_le_bytes());
            for part in parts {
                bytes.extend((part.len() as u64).to_le_bytes());
                bytes.extend(*part);
            }
        };
        for answer in &self.0 {
            match answer {
                RecordedAnswer::Files(Ok(paths)) => {
                    let paths = paths.iter().map(|path| path.as_os_str().as_bytes());
                    put(FILES, &paths.collect::<Vec<_>>());
                }
                RecordedAnswer::Files(Err(reason)) => put(NO_FILES, &[reason.as_bytes()]),
                RecordedAnswer::Bytes(Ok(bytes)) => put(BYTES, &[bytes]),
                RecordedAnswer::Bytes(Err(ReadFailure { step, errno })) => {
                    let tag = match step {
                        ReadStep::Open => NOT_OPENED,
                        ReadStep::Read => NOT_READ,
                    };
                    match errno {
                        Some(errno) => put(tag, &[&errno.to_le_bytes()]),
                        None => put(tag, &[]),
                    }
                }
            }
        }
        bytes
    }

    /// `None` if the bytes are no recording.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut answers = VecDeque::new();
        while let Some((&tag, rest)) = bytes.split_first() {
            bytes = rest;
            let mut parts = Vec::new();
            for _ in 0..length(&mut bytes)? {
                let length = length(&mut bytes)?;
                parts.push(bytes.split_off(..length)?.to_vec());
            }
            answers.push_back(RecordedAnswer::from_parts(tag, parts)?);
        }
        Some(Self(answers))
    }
}

impl RecordedAnswer {
    fn from_parts(tag: u8, mut parts: Vec<Vec<u8>>) -> Option<Self> {
        if tag == FILES {
            let paths = parts.into_iter().map(OsString::from_vec).map(PathBuf::from);
            return Some(Self::Files(Ok(paths.collect())));
        }
        let part = parts.pop();
        let failed = |step, part: Option<Vec<u8>>| {
            let errno = part.map(|part| part.try_into().map(i32::from_le_bytes));
            let errno = errno.transpose().ok()?;
            Some(Self::Bytes(Err(ReadFailure { step, errno })))
        };
        match tag {
            NO_FILES => Some(Self::Files(Err(String::from_utf8(part?).ok()?))),
            BYTES => Some(Self::Bytes(Ok(part?))),
            NOT_OPENED => failed(ReadStep::Open, part),
            NOT_READ => failed(ReadStep::Read, part),
            _ => None,
        }
    }
}

fn length(bytes: &mut &[u8]) -> Option<usize> {
    let length = bytes.split_off(..8)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(length)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::main::Config;
    use crate::config::overrides::Overrides;

    #[test]
    fn a_recording_replays_to_what_the_files_say_mistakes_included() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("test.conf");
        let included = dir.path().join("servers.conf");
        let server = "server { listen 127.0.0.1:1; proxy_pass 127.0.0.1:2; }";
        std::fs::write(&included, server).unwrap();
        let texts = [
            "stream { include serv*.conf; include none*; }",
            "stream { include servers.conf; }\nnonsense;",
            "stream { include missing.conf; }",
            "stream { include /; }",
        ];
        for text in texts {
            std::fs::write(&conf, text).unwrap();
            let (recording, expected) =
                Config::load_recorded(&conf, Path::new(""), &Overrides::default());
            let bytes = recording.to_bytes();
            let copy = Recording::from_bytes(&bytes).unwrap();
            assert_eq!(copy, recording, "{text}");
            for cut in [1, bytes.len() / 2, bytes.len() - 1] {
                assert_ne!(
                    Recording::from_bytes(&bytes[..cut]),
                    Some(Recording::default())
                );
            }
            // A replay does not read the disk.
            std::fs::write(&conf, "").unwrap();
            let replayed = Config::replay(copy, &conf, Path::new(""), &Overrides::default());
            match (replayed, expected) {
                (Ok(a), Ok(b)) => assert_eq!(format!("{a:?}"), format!("{b:?}")),
                (a, b) => assert_eq!(a.unwrap_err().to_string(), b.unwrap_err().to_string()),
            }
        }
        let (recording, missing) =
            Config::load_recorded(&dir.path().join("no"), Path::new(""), &Overrides::default());
        assert!(missing.is_err() && recording.0.len() == 1);
    }
}
