//! Texts by ranges of IPv4 addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Texts by ranges of IPv4 addresses.
///
/// As in nginx, a range is cut into blocks of 65536 addresses, and the rules below hold for the piece in each block. A
/// look-up costs two binary searches.
#[derive(Debug, Default)]
pub(crate) struct Ranges {
    pub(crate) default: Option<Arc<str>>,
    /// The pieces of each block, ascending.
    blocks: BTreeMap<u16, Vec<Piece>>,
}

#[derive(Clone, Debug)]
struct Piece {
    start: u16,
    end: u16,
    text: Arc<str>,
}

/// The range that a new one overlaps with.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Overlap {
    pub(crate) start: Ipv4Addr,
    pub(crate) end: Ipv4Addr,
}

impl Ranges {
    /// Adds a range, both ends included. A piece within another one is cut out of it, and an equal one replaces it: the
    /// texts of those replaced are returned.
    pub(crate) fn insert(
        &mut self,
        start: Ipv4Addr,
        end: Ipv4Addr,
        text: &Arc<str>,
    ) -> Result<Vec<Arc<str>>, Overlap> {
        let mut replaced = Vec::new();
        for (block, start, end) in pieces(start, end) {
            let text = Arc::clone(text);
            let piece = Piece { start, end, text };
            let all = self.blocks.entry(block).or_default();
            replaced.extend(insert(all, piece).map_err(|other| Overlap {
                start: address(block, other.start),
                end: address(block, other.end),
            })?);
        }
        Ok(replaced)
    }

    /// Removes a range. False if a block did not have its piece.
    pub(crate) fn remove(&mut self, start: Ipv4Addr, end: Ipv4Addr) -> bool {
        let mut has_all = true;
        for (block, start, end) in pieces(start, end) {
            let same = |piece: &Piece| (piece.start, piece.end) == (start, end);
            let found = self.blocks.get_mut(&block).and_then(|all| {
                let at = all.iter().position(same)?;
                Some(all.remove(at))
            });
            has_all &= found.is_some();
        }
        has_all
    }

    /// The text of an address, empty if there is none.
    pub(crate) fn find(&self, address: Ipv4Addr) -> &str {
        let bits = address.to_bits();
        let (block, low) = ((bits >> 16) as u16, bits as u16);
        let found = self.blocks.get(&block).and_then(|all| {
            let behind = all.partition_point(|piece| piece.start <= low);
            all[..behind].last().filter(|piece| low <= piece.end)
        });
        let text = found.map(|piece| &piece.text).or(self.default.as_ref());
        text.map_or("", |text| text)
    }
}

/// The pieces of a range: block, start and end.
fn pieces(start: Ipv4Addr, end: Ipv4Addr) -> impl Iterator<Item = (u16, u16, u16)> {
    let (start, end) = (start.to_bits(), end.to_bits());
    let (first, last) = ((start >> 16) as u16, (end >> 16) as u16);
    (first..=last).map(move |block| {
        let start = if block == first { start as u16 } else { 0 };
        let end = if block == last { end as u16 } else { u16::MAX };
        (block, start, end)
    })
}

fn address(block: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from_bits(u32::from(block) << 16 | u32::from(low))
}

/// Adds a piece. Returns the text that it replaces, or the piece that it overlaps with.
fn insert(all: &mut Vec<Piece>, new: Piece) -> Result<Option<Arc<str>>, Piece> {
    // The first piece that does not end in front of the new one.
    let at = all.partition_point(|piece| piece.end < new.start);
    let Some(old) = all.get(at).filter(|piece| piece.start <= new.end).cloned() else {
        all.insert(at, new);
        return Ok(None);
    };
    if (old.start, old.end) == (new.start, new.end) {
        return Ok(Some(std::mem::replace(&mut all[at].text, new.text)));
    }
    if new.start < old.start || new.end > old.end {
        // nginx names the last one.
        let last = all.iter().rev().find(|piece| piece.start <= new.end);
        return Err(last.cloned().unwrap_or(old));
    }
    let before = (old.start < new.start).then(|| Piece {
        end: new.start - 1,
        ..old.clone()
    });
    let behind = (new.end < old.end).then(|| Piece {
        start: new.end + 1,
        ..old.clone()
    });
    let pieces = [before, Some(new), behind].into_iter().flatten();
    all.splice(at..=at, pieces);
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// A model with a text for each address.
        #[test]
        fn ranges_hold_the_text_that_was_set_last(
            ranges in prop::collection::vec((0_u32..40, 0_u32..40), 0..12),
        ) {
            // Around the border of two blocks.
            let address = |n: u32| Ipv4Addr::from_bits(0x0a00_fff0 + n);
            let mut table = Ranges { default: Some("d".into()), ..Ranges::default() };
            let mut model = vec!["d".to_owned(); 40];
            for (i, (one, other)) in ranges.into_iter().enumerate() {
                let (start, end) = (one.min(other), one.max(other));
                let text: Arc<str> = i.to_string().into();
                let before: Vec<_> = (0..40).map(|n| table.find(address(n)).to_owned()).collect();
                if table.insert(address(start), address(end), &text).is_ok() {
                    for n in start..=end {
                        model[n as usize] = i.to_string();
                    }
                } else {
                    // A block in front of the overlap may have its piece; a configuration with an error is not used.
                    let after = (0..40).map(|n| table.find(address(n)).to_owned());
                    model = after.collect();
                    prop_assert!((0..40).filter(|n| !(start..=end).contains(n)).all(
                        |n| model[n as usize] == before[n as usize]
                    ));
                }
                for n in 0..40 {
                    prop_assert_eq!(table.find(address(n)), &model[n as usize]);
                }
            }
        }
    }

    #[test]
    fn ranges_nest_replace_and_may_not_cross() {
        let [a, b]: [Arc<str>; 2] = ["a".into(), "b".into()];
        let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let mut table = Ranges::default();
        let all = [ip("10.0.0.10"), ip("10.2.0.10")];
        assert_eq!(table.insert(all[0], all[1], &a), Ok(vec![]));
        assert_eq!(
            table.insert(ip("10.1.0.0"), ip("10.1.255.255"), &b),
            Ok(vec![Arc::clone(&a)])
        );
        assert_eq!(
            table.insert(ip("10.0.0.10"), ip("10.0.0.12"), &b),
            Ok(vec![])
        );
        let overlap = table
            .insert(ip("10.0.0.5"), ip("10.0.0.11"), &b)
            .unwrap_err();
        assert_eq!(
            (overlap.start, overlap.end),
            (ip("10.0.0.10"), ip("10.0.0.12"))
        );
        for (address, text) in [
            ("10.0.0.9", ""),
            ("10.0.0.10", "b"),
            ("10.0.0.13", "a"),
            ("10.1.2.3", "b"),
            ("10.2.0.10", "a"),
            ("10.2.0.11", ""),
        ] {
            assert_eq!(table.find(ip(address)), text, "{address}");
        }
        assert!(table.remove(ip("10.0.0.10"), ip("10.0.0.12")));
        assert!(!table.remove(ip("10.0.0.10"), ip("10.0.0.12")));
        assert_eq!(table.find(ip("10.0.0.10")), "");
    }
}
