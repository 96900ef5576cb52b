//! The token that lets requests change state.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use subtle::ConstantTimeEq;

use super::error::AdminError;

const MIN_LEN: usize = 16;
const MAX_LEN: usize = 4096;

/// The permissions that a token file must not have: write for the group, anything for others.
const FORBIDDEN: u32 = 0o027;

/// The token that lets requests change state. Its `Debug` does not show it.
#[derive(Clone, Eq)]
pub struct AdminToken(Box<[u8]>);

impl AdminToken {
    /// The token `text`.
    ///
    /// # Errors
    ///
    /// [`AdminError::InvalidToken`].
    pub fn try_new(text: &str) -> Result<Self, AdminError> {
        let is_valid = (MIN_LEN..=MAX_LEN).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        match is_valid {
            true => Ok(Self(text.as_bytes().into())),
            false => Err(AdminError::InvalidToken),
        }
    }

    /// Reads the token from a file, without white space around it. Blocks.
    ///
    /// # Errors
    ///
    /// [`AdminError::ReadToken`], and those of [`read_open`](Self::read_open).
    pub fn read(path: &Path) -> Result<Self, AdminError> {
        let opened = open(path);
        let opened = opened.map_err(|source| AdminError::ReadToken {
            path: path.to_owned(),
            source,
        });
        Self::read_open(opened?, path)
    }

    /// Reads the token from a file that is open, as [`read`](Self::read) does, for a process that may not open it itself.
    /// `path` is the name of the file for errors. Blocks.
    ///
    /// # Errors
    ///
    /// [`AdminError::ReadToken`], [`AdminError::NoTokenFile`] if it is a pipe, a device or a directory,
    /// [`AdminError::OpenToken`] if other users may read it or its group may write it, [`AdminError::InvalidToken`].
    pub fn read_open(file: File, path: &Path) -> Result<Self, AdminError> {
        let error = |source| AdminError::ReadToken {
            path: path.to_owned(),
            source,
        };
        let metadata = file.metadata().map_err(error)?;
        if !metadata.is_file() {
            return Err(AdminError::NoTokenFile {
                path: path.to_owned(),
            });
        }
        if metadata.mode() & FORBIDDEN != 0 {
            return Err(AdminError::OpenToken {
                path: path.to_owned(),
            });
        }
        let mut text = String::new();
        let mut bounded = file.take(MAX_LEN as u64 + 2);
        bounded.read_to_string(&mut text).map_err(error)?;
        Self::try_new(text.trim())
    }

    /// The value of the `Authorization` header by which a client shows the token. It has the token in plain text.
    pub fn authorization(&self) -> String {
        // Only graphic characters of ASCII are accepted.
        format!("Bearer {}", String::from_utf8_lossy(&self.0))
    }

    /// Whether `given` is the token. Takes a time that depends on the lengths only.
    pub(super) fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

/// Opens a file to read it. Does not wait for a writer if it is a named pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

impl PartialEq for AdminToken {
    fn eq(&self, other: &Self) -> bool {
        self.is(&other.0)
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        write(&path, "0123456789abcdef\n").unwrap();
        for (mode, accepted) in [(0o600, true), (0o640, true), (0o644, false), (0o620, false)] {
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = AdminToken::read(&path);
            assert_eq!(read.is_ok(), accepted, "{mode:o}");
            let open = AdminToken::read_open(File::open(&path).unwrap(), &path);
            assert_eq!(open.is_ok(), accepted, "{mode:o}");
            if let Ok(token) = read {
                assert!(token.is(b"0123456789abcdef"));
                assert!(!token.is(b"0123456789abcdeg") && !token.is(b"") && !token.is(b"0"));
                assert!(!format!("{token:?}").contains("0123"));
                assert_eq!(token.authorization(), "Bearer 0123456789abcdef");
            }
        }
    }

    #[test]
    fn a_pipe_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [path.as_path(), dir.path()] {
            let error = AdminToken::read(path).unwrap_err();
            assert!(matches!(error, AdminError::NoTokenFile { .. }), "{error}");
        }
    }

    #[test]
    fn a_token_has_a_minimum_length_and_no_spaces() {
        for bad in ["", "short", "0123456789 abcdef", "0123456789abcd\u{e9}f"] {
            assert!(AdminToken::try_new(bad).is_err(), "{bad}");
        }
        assert!(AdminToken::try_new(&"x".repeat(4097)).is_err());
    }
}
