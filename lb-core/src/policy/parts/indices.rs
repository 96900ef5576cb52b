//! A long list of backend indices.

use std::ops::Range;

/// Two bytes for each where every index fits, else four: more of a smaller table stays in the cache.
#[derive(Debug)]
pub(crate) enum Indices {
    Long(Box<[u32]>),
    Short(Box<[u16]>),
}

impl Indices {
    pub(crate) fn new(backends: Vec<u32>) -> Self {
        let short: Result<_, _> = backends.iter().map(|&i| u16::try_from(i)).collect();
        short.map_or_else(|_| Self::Long(backends.into()), Self::Short)
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Long(backends) => backends.len(),
            Self::Short(backends) => backends.len(),
        }
    }

    /// The backend at `at`, which is below the length.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> u32 {
        match self {
            Self::Long(backends) => backends[at],
            Self::Short(backends) => backends[at].into(),
        }
    }

    /// Appends those at the positions `span` to `to`, each plus `moved`, modulo 2^32.
    pub(crate) fn copy_moved(&self, span: Range<usize>, moved: u32, to: &mut Vec<u32>) {
        let moved = |i: u32| i.wrapping_add(moved);
        match self {
            Self::Long(backends) => to.extend(backends[span].iter().map(|&i| moved(i))),
            Self::Short(backends) => to.extend(backends[span].iter().map(|&i| moved(i.into()))),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len()).map(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_indices_take_two_bytes() {
        for (backends, short) in [(vec![3, 65_535], true), (vec![3, 65_536], false)] {
            let indices = Indices::new(backends.clone());
            assert_eq!(indices.iter().collect::<Vec<_>>(), backends);
            assert_eq!(matches!(indices, Indices::Short(_)), short);
        }
    }
}
