//! The table and its lookup.

use std::collections::HashMap;

use super::error::ServerNameError;
use super::pattern::{MAX_NAME, NamePattern, Wildcard};

/// A table from host names to values, with the patterns and the precedence of nginx's `map … { hostnames; … }`.
///
/// | pattern | matches |
/// |---|---|
/// | `www.example.com` | this name |
/// | `*.example.com` | every name that ends in `.example.com`, with any number of labels in front, but not `example.com` |
/// | `.example.com` | `example.com`, and every name that `*.example.com` matches |
/// | `www.example.*` | every name that begins with `www.example.`, with any number of labels behind |
///
/// If several patterns match, the exact one wins, then the longest with a leading wildcard, then the longest with a
/// trailing wildcard. Case and one dot at the end of a name are ignored. For nginx's `default` use `unwrap_or`.
///
/// ```
/// use lb_proxy::server_names::ServerNames;
///
/// let mut upstreams = ServerNames::new();
/// upstreams.insert("www.example.com", "web")?;
/// upstreams.insert("*.example.com", "sites")?;
/// let upstream = |name: &str| *upstreams.find(name).unwrap_or(&"default");
/// assert_eq!(upstream("WWW.example.com"), "web");
/// assert_eq!(upstream("a.b.example.com"), "sites");
/// assert_eq!(upstream("example.com"), "default");
/// # Ok::<(), lb_proxy::server_names::ServerNameError>(())
/// ```
#[doc(alias = "hostnames")]
#[derive(Clone, Debug)]
pub struct ServerNames<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// `*.` and `.` patterns, by the part behind the dot.
    leading: HashMap<Box<[u8]>, Leading<T>>,
    /// `.*` patterns, by the part in front of the dot.
    trailing: HashMap<Box<[u8]>, T>,
}

/// The value of a pattern with a leading wildcard.
#[derive(Clone, Debug)]
struct Leading<T> {
    value: T,
    /// Whether the pattern was `.example.com`, which matches `example.com` itself.
    itself: bool,
}

impl<T> ServerNames<T> {
    /// An empty table.
    pub fn new() -> Self {
        Self {
            exact: HashMap::new(),
            leading: HashMap::new(),
            trailing: HashMap::new(),
        }
    }

    /// Inserts a pattern.
    ///
    /// # Errors
    ///
    /// The same as in nginx: [`Invalid`](ServerNameError::Invalid) if the pattern has none of the forms above, and
    /// [`Conflict`](ServerNameError::Conflict) if an earlier pattern decides the same names, as `*.example.com` and
    /// `.example.com` do, or `.example.com` and `example.com`.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), ServerNameError> {
        let Some(NamePattern { name, wildcard }) = NamePattern::parse(pattern) else {
            let pattern = pattern.into();
            return Err(ServerNameError::Invalid { pattern });
        };
        let conflict = match wildcard {
            Wildcard::None => self.exact.contains_key(&name) || self.itself(&name).is_some(),
            Wildcard::Leading { itself } => {
                self.leading.contains_key(&name) || (itself && self.exact.contains_key(&name))
            }
            Wildcard::Trailing => self.trailing.contains_key(&name),
        };
        if conflict {
            let pattern = pattern.into();
            return Err(ServerNameError::Conflict { pattern });
        }
        match wildcard {
            Wildcard::None => drop(self.exact.insert(name, value)),
            Wildcard::Leading { itself } => {
                drop(self.leading.insert(name, Leading { value, itself }));
            }
            Wildcard::Trailing => drop(self.trailing.insert(name, value)),
        }
        Ok(())
    }

    /// The value of the pattern that matches `name` best. The name may be any bytes.
    ///
    /// Costs at most two hash table lookups for each label of the name. Allocates nothing.
    pub fn find(&self, name: impl AsRef<[u8]>) -> Option<&T> {
        self.find_bytes(name.as_ref())
    }

    fn find_bytes(&self, name: &[u8]) -> Option<&T> {
        let mut buffer = [0; MAX_NAME];
        let name = name.strip_suffix(b".").unwrap_or(name);
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let name = &*lower;

        let exact = self.exact.get(name);
        let itself = || self.itself(name);
        let leading =
            || dots(name).find_map(|dot| Some(&self.leading.get(&name[dot + 1..])?.value));
        let trailing = || {
            dots(name)
                .rev()
                .find_map(|dot| self.trailing.get(&name[..dot]))
        };
        exact.or_else(itself).or_else(leading).or_else(trailing)
    }

    /// Replaces each value by the result of `change`. The patterns stay.
    pub fn map<U>(self, mut change: impl FnMut(T) -> U) -> ServerNames<U> {
        let Self {
            exact,
            leading,
            trailing,
        } = self;
        let exact = exact.into_iter().map(|(name, value)| (name, change(value)));
        let exact = exact.collect();
        let leading = leading
            .into_iter()
            .map(|(name, Leading { value, itself })| {
                let value = change(value);
                (name, Leading { value, itself })
            });
        let leading = leading.collect();
        let trailing = trailing
            .into_iter()
            .map(|(name, value)| (name, change(value)));
        ServerNames {
            exact,
            leading,
            trailing: trailing.collect(),
        }
    }

    /// Iterates over the values in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let leading = self.leading.values().map(|leading| &leading.value);
        self.exact
            .values()
            .chain(leading)
            .chain(self.trailing.values())
    }

    /// The value of the pattern `.name`, which matches the name itself.
    fn itself(&self, name: &[u8]) -> Option<&T> {
        let leading = self.leading.get(name).filter(|leading| leading.itself);
        leading.map(|leading| &leading.value)
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.exact.len() + self.leading.len() + self.trailing.len()
    }

    /// Whether there is no pattern.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for ServerNames<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The offsets of the dots in `name`.
fn dots(name: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    let bytes = name.iter().enumerate();
    bytes.filter(|(_, byte)| **byte == b'.').map(|(at, _)| at)
}
