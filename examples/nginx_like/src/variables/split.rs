//! The variable of `split_clients`.

use super::buffer::Buffer;
use super::context::Context;
use super::id::VariableId;
use super::murmur2::murmur2;
use super::output::ValueOutput;
use super::table::{Definition, Traits};
use super::value::Value;

/// All clients, in hundredths of a percent.
const ALL: u32 = 10_000;

/// The variable of a `split_clients`: the text of the part that the hash of a value falls into.
#[derive(Debug)]
pub(crate) struct Split {
    value: Value,
    parts: Vec<Share>,
}

#[derive(Debug)]
struct Share {
    /// Hashes below it are in the part, unless they are in an earlier one. `None` takes all.
    end: Option<u32>,
    text: Box<str>,
}

impl Split {
    /// `parts` have their shares in hundredths of a percent, or `None` for the rest. `None` if they are more than 100 %.
    pub(crate) fn new(value: Value, parts: Vec<(Option<u32>, Box<str>)>) -> Option<Self> {
        let (mut sum, mut end) = (0, 0);
        let parts = parts.into_iter().map(|(share, text)| {
            sum = match share {
                Some(share) => share.saturating_add(sum),
                None => ALL,
            };
            if sum > ALL {
                return None;
            }
            let end = share.map(|share| {
                // Each part is cut to an integer, as in nginx, so 100 % leaves some hashes out.
                end += (u64::from(share) * u64::from(u32::MAX) / u64::from(ALL)) as u32;
                end
            });
            Some(Share { end, text })
        });
        let parts = parts.collect::<Option<_>>()?;
        Some(Self { value, parts })
    }

    /// The text for a hash. Empty behind the last part.
    fn find(&self, hash: u32) -> &str {
        let mut parts = self.parts.iter();
        let found = parts.find(|part| part.end.is_none_or(|end| hash < end));
        found.map_or("", |part| &part.text)
    }
}

impl Definition for Split {
    fn evaluate(&self, context: &Context<'_>, out: &mut dyn ValueOutput) -> Option<()> {
        let mut bytes = Buffer::new();
        self.value.append(context, &mut bytes);
        out.push(self.find(murmur2(bytes.bytes())).as_bytes());
        Some(())
    }

    fn variables(&self) -> Vec<VariableId> {
        self.value.variables().collect()
    }

    fn traits(&self) -> Traits {
        self.value.traits()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded with the original C code.
    #[test]
    fn hashes_are_those_of_murmur2() {
        for (text, hash) in HASHES {
            assert_eq!(murmur2(text.as_bytes()), *hash, "{text}");
        }
    }

    #[test]
    fn parts_end_where_nginx_ends_them() {
        let split = |parts: &[(Option<u32>, &str)]| {
            let parts = parts.iter().map(|(share, text)| (*share, (*text).into()));
            Split::new(Value::literal_of(""), parts.collect())
        };
        let tenth = split(&[(Some(1000), "a"), (Some(5), "b"), (None, "c")]).unwrap();
        for (hash, text) in [
            (0, "a"),
            (429_496_728, "a"),
            (429_496_729, "b"),
            (431_644_211, "b"),
            (431_644_212, "c"),
            (u32::MAX, "c"),
        ] {
            assert_eq!(tenth.find(hash), text, "{hash}");
        }
        let all = split(&[(Some(3333), "a"), (Some(3333), "b"), (Some(3334), "c")]).unwrap();
        assert_eq!(all.find(u32::MAX - 3), "c");
        assert_eq!(all.find(u32::MAX), "");
        for parts in [
            &[(Some(10_000), "a"), (Some(1), "b")][..],
            &[(None, "a"), (Some(1), "b")],
            &[(Some(1), "a"), (Some(u32::MAX), "b")],
        ] {
            assert!(split(parts).is_none(), "{parts:?}");
        }
    }

    const HASHES: &[(&str, u32)] = &[
        ("", 0x0000_0000),
        ("a", 0x9268_5f5e),
        ("ab", 0x1aa1_4063),
        ("abc", 0x1357_7c9b),
        ("abcd", 0x2687_3021),
        ("127.0.0.1AAA", 0xb5fc_5e4b),
        ("10.1.2.3", 0x029c_af79),
        ("The quick brown fox jumps over the lazy dog", 0x2127_29d0),
    ];
}
