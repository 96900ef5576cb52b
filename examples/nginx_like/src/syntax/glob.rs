//! The patterns of glob(3), which `include` takes.
//!
//! A pattern is matched name by name and byte by byte, as glibc does in the C locale: `*` and `?` match no dot at the
//! start of a name; `[^a]` and `[!a]` both match anything but an `a`; `[[:digit:]]` names a class; a backslash removes
//! the special meaning of the next byte; a `[` that is not closed stands for itself. The `glob` crate differs in all
//! of these. A directory that cannot be read is an error: nginx skips it, and serves less than the configuration says.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Whether nginx treats the name in an `include` as a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The paths that match, sorted by their bytes. Relative patterns start from `dir`.
pub(crate) fn find(dir: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        dir.to_owned()
    }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let tokens = tokens(part);
        let mut next = Vec::new();
        for path in found {
            match literal(&tokens) {
                Some(name) => next.extend(Some(path.join(name)).filter(|path| exists(path))),
                None => next.extend(names(&path, &tokens)?.iter().map(|name| path.join(name))),
            }
        }
        found = next;
    }
    found.sort_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
    Ok(found)
}

/// Whether `path` exists. A link to nothing exists.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// The names in a directory that match. A path that is no directory has none.
fn names(dir: &Path, tokens: &[Token]) -> io::Result<Vec<OsString>> {
    let dir = if dir.as_os_str().is_empty() {
        Path::new(".")
    } else {
        dir
    };
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if matches(tokens, name.as_bytes()) {
            names.push(name);
        }
    }
    Ok(names)
}

#[derive(Debug, Eq, PartialEq)]
enum Token {
    /// `*`
    Any,
    Byte(u8),
    /// `?`
    One,
    /// `[…]`
    Set {
        except: bool,
        ranges: Vec<Range>,
    },
}

/// The name that a part without wildcards stands for.
fn literal(tokens: &[Token]) -> Option<OsString> {
    let byte = |token: &Token| match token {
        Token::Byte(byte) => Some(*byte),
        _ => None,
    };
    let bytes: Option<Vec<u8>> = tokens.iter().map(byte).collect();
    bytes.map(OsString::from_vec)
}

fn tokens(part: &str) -> Vec<Token> {
    let mut rest = part.as_bytes();
    let mut tokens = Vec::new();
    while let [first, after @ ..] = rest {
        rest = after;
        tokens.push(match first {
            b'*' => Token::Any,
            b'?' => Token::One,
            b'[' => match set(after) {
                Some((set, after)) => {
                    rest = after;
                    set
                }
                None => Token::Byte(b'['),
            },
            b'\\' => match after {
                [escaped, after @ ..] => {
                    rest = after;
                    Token::Byte(*escaped)
                }
                [] => Token::Byte(b'\\'),
            },
            byte => Token::Byte(*byte),
        });
    }
    tokens
}

/// Parses what follows a `[`, up to the `]` that closes it. `None` if it is not closed.
fn set(bytes: &[u8]) -> Option<(Token, &[u8])> {
    let (except, mut rest) = match bytes {
        [b'!' | b'^', rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    let mut ranges = Vec::new();
    let mut is_first = true;
    loop {
        if let [b']', after @ ..] = rest
            && !is_first
        {
            return Some((Token::Set { except, ranges }, after));
        }
        is_first = false;
        if let Some((class, after)) = class(rest) {
            ranges.extend_from_slice(class);
            rest = after;
            continue;
        }
        let (low, after) = member(rest)?;
        rest = after;
        let high = match after {
            // At the end a hyphen stands for itself.
            [b'-', b']', ..] => low,
            [b'-', after @ ..] => {
                let (high, after) = member(after)?;
                rest = after;
                high
            }
            _ => low,
        };
        ranges.push((low, high));
    }
}

/// Parses one byte of a set, with its escape if it has one.
fn member(bytes: &[u8]) -> Option<(u8, &[u8])> {
    match bytes {
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

/// The first and the last byte of a range.
type Range = (u8, u8);

/// Parses a class such as `[:digit:]`.
fn class(bytes: &[u8]) -> Option<(&'static [Range], &[u8])> {
    let [b'[', b':', rest @ ..] = bytes else {
        return None;
    };
    let length = rest.iter().position(|byte| !byte.is_ascii_lowercase())?;
    let (name, rest) = rest.split_at(length);
    let [b':', b']', rest @ ..] = rest else {
        return None;
    };
    let class: &[Range] = match name {
        b"alnum" => &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')],
        b"alpha" => &[(b'A', b'Z'), (b'a', b'z')],
        b"blank" => &[(b'\t', b'\t'), (b' ', b' ')],
        b"cntrl" => &[(b'\0', b'\x1f'), (b'\x7f', b'\x7f')],
        b"digit" => &[(b'0', b'9')],
        b"graph" => &[(b'!', b'~')],
        b"lower" => &[(b'a', b'z')],
        b"print" => &[(b' ', b'~')],
        b"punct" => &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')],
        b"space" => &[(b'\t', b'\r'), (b' ', b' ')],
        b"upper" => &[(b'A', b'Z')],
        b"xdigit" => &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')],
        _ => return None,
    };
    Some((class, rest))
}

/// Whether a name matches.
fn matches(tokens: &[Token], name: &[u8]) -> bool {
    if name.starts_with(b".") && tokens.first() != Some(&Token::Byte(b'.')) {
        return false;
    }
    let (mut at, mut token) = (0, 0);
    // The last star, and the end of what it matches: one byte more each time the rest does not match.
    let mut star = None;
    while at < name.len() {
        match tokens.get(token) {
            Some(Token::Any) => {
                star = Some((token, at));
                token += 1;
            }
            Some(one) if one.takes(name[at]) => {
                at += 1;
                token += 1;
            }
            _ => match &mut star {
                Some((any, reach)) => {
                    *reach += 1;
                    (token, at) = (*any + 1, *reach);
                }
                None => return false,
            },
        }
    }
    tokens[token..].iter().all(|token| *token == Token::Any)
}

impl Token {
    /// Whether it matches this byte. A star does not match byte by byte.
    fn takes(&self, byte: u8) -> bool {
        match self {
            Self::Any => false,
            Self::Byte(own) => *own == byte,
            Self::One => true,
            Self::Set { except, ranges } => {
                let within = |(low, high): &Range| (*low..=*high).contains(&byte);
                ranges.iter().any(within) != *except
            }
        }
    }
}

#[cfg(test)]
mod tests;
