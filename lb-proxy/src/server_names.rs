//! A table from host names to anything, with wildcards.

use std::collections::HashMap;

/// The longest name. Longer ones are no host names and match nothing.
const MAX_NAME: usize = 255;

/// A table from host names to values, with the patterns and the precedence of nginx's `map … { hostnames; … }`.
///
/// | pattern | matches |
/// |---|---|
/// | `www.example.com` | itself |
/// | `*.example.com` | every name that ends so, with any number of labels before it, but not `example.com` |
/// | `.example.com` | `example.com` and what `*.example.com` matches |
/// | `www.example.*` | every name that begins so, with any number of labels behind it |
///
/// If several match, the exact one comes first, then the longest with a wildcard before it, then the longest with a
/// wildcard behind it. The case of letters and one dot at the end of a name do not matter. What nginx's `default`
/// does, `unwrap_or` does here.
///
/// ```
/// use lb_proxy::server_names::ServerNames;
///
/// let mut upstreams = ServerNames::new();
/// upstreams.insert("www.example.com", "web")?;
/// upstreams.insert("*.example.com", "others")?;
/// let upstream = |name| *upstreams.find(name).unwrap_or(&"default");
/// assert_eq!(upstream("WWW.example.com"), "web");
/// assert_eq!(upstream("a.b.example.com"), "others");
/// assert_eq!(upstream("example.com"), "default");
/// # Ok::<(), lb_proxy::server_names::ServerNameError>(())
/// ```
#[doc(alias = "hostnames")]
#[derive(Clone, Debug)]
pub struct ServerNames<T> {
    exact: HashMap<Box<[u8]>, T>,
    /// `*.` and `.` patterns, by what follows the dot.
    leading: HashMap<Box<[u8]>, Leading<T>>,
    /// By what comes before `.*`.
    trailing: HashMap<Box<[u8]>, T>,
}

#[derive(Clone, Debug)]
struct Leading<T> {
    value: T,
    /// Whether it was `.example.com`.
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

    /// Adds a pattern.
    ///
    /// # Errors
    ///
    /// As nginx: [`Invalid`](ServerNameError::Invalid) if it is none of the patterns above, and
    /// [`Conflict`](ServerNameError::Conflict) if an earlier one decides the same names, as `*.example.com` and
    /// `.example.com` or `.example.com` and `example.com` do.
    pub fn insert(&mut self, pattern: &str, value: T) -> Result<(), ServerNameError> {
        let Some(Pattern { name, wildcard }) = Pattern::parse(pattern) else {
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

    /// The value for a name. One look-up in a hash table for each label of the name, twice if need be; allocates
    /// nothing.
    pub fn find(&self, name: &str) -> Option<&T> {
        let mut buffer = [0; MAX_NAME];
        let name = name.strip_suffix('.').unwrap_or(name).as_bytes();
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

    /// The same patterns with other values.
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

    /// The values, in no particular order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        let leading = self.leading.values().map(|leading| &leading.value);
        self.exact
            .values()
            .chain(leading)
            .chain(self.trailing.values())
    }

    /// What a pattern with a dot before the name says about the name alone.
    fn itself(&self, name: &[u8]) -> Option<&T> {
        let leading = self.leading.get(name).filter(|leading| leading.itself);
        leading.map(|leading| &leading.value)
    }

    /// How many patterns there are.
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

/// A pattern that cannot be added.
#[non_exhaustive]
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ServerNameError {
    /// An earlier pattern decides the same names.
    #[error("server name \"{pattern}\" conflicts with an earlier one")]
    Conflict {
        /// The pattern.
        pattern: Box<str>,
    },
    /// Not a host name, or a wildcard that is not a whole label at its beginning or end.
    #[error(
        "\"{pattern}\" is no server name: write www.example.com, *.example.com, .example.com or www.example.*"
    )]
    Invalid {
        /// The pattern.
        pattern: Box<str>,
    },
}

struct Pattern {
    /// In lower case, without the wildcard.
    name: Box<[u8]>,
    wildcard: Wildcard,
}

enum Wildcard {
    None,
    Leading { itself: bool },
    Trailing,
}

impl Pattern {
    fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.strip_suffix('.').unwrap_or(pattern);
        let (name, wildcard) = if let Some(name) = pattern.strip_prefix("*.") {
            (name, Wildcard::Leading { itself: false })
        } else if let Some(name) = pattern.strip_prefix('.') {
            (name, Wildcard::Leading { itself: true })
        } else if let Some(name) = pattern.strip_suffix(".*") {
            (name, Wildcard::Trailing)
        } else {
            (pattern, Wildcard::None)
        };
        let possible = name.len() <= MAX_NAME
            && !name.contains(['*', '\0'])
            && name.split('.').all(|label| !label.is_empty());
        possible.then(|| Self {
            name: name.to_ascii_lowercase().into_bytes().into(),
            wildcard,
        })
    }
}

/// Where the dots of a name are.
fn dots(name: &[u8]) -> impl DoubleEndedIterator<Item = usize> {
    let bytes = name.iter().enumerate();
    bytes.filter(|(_, byte)| **byte == b'.').map(|(at, _)| at)
}
