//! Several sources as one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use lb_core::{Backend, Priority, Snapshot};

use crate::combinators::map::Map;
use crate::error::DiscoveryError;
use crate::source::{Discovery, SnapshotStream, with_provenance};

/// The union of several sources, each of which may be moved to lower tiers: the pods of this cluster first, those of
/// the other cluster as backup, and a fixed list when both are gone.
///
/// The union keeps the order of the sources and, within each, that of its backends. Of several backends with one
/// address the one in the most preferred tier counts, with all that its source says of it, its weight and whether it
/// drains included; within a tier the one of the first source. Every backend tells by
/// [`source`](lb_core::Backend::source) where it came from.
///
/// A [`Driver`](crate::Driver) follows the [parts](Discovery::parts) each by itself, with a last good set, a
/// status and delays of its own, exactly as if they had been given to it one by one; a merge within a merge is no
/// different. Who [watches](Discovery::watch) a merge without a driver gets the union as soon as every source has
/// given a set, and the first failure of any as the end.
///
/// ```
/// use lb_core::{Backend, Snapshot};
/// use lb_discovery::{Merge, Static};
///
/// let near = Static::new(Snapshot::from_backends([Backend::new("10.0.0.1:446".parse()?)]));
/// let far = Static::new(Snapshot::from_backends([Backend::new("10.1.0.1:446".parse()?)]));
/// let both = Merge::new().with(near).with_shifted(far, 1);
/// # drop(both);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Merge {
    parts: Vec<Arc<dyn Discovery>>,
}

impl Merge {
    /// The union of no sources yet, which is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `source` as it is.
    #[must_use]
    pub fn with(mut self, source: impl Discovery) -> Self {
        self.parts.push(Arc::new(source));
        self
    }

    /// Adds `source` with its backends `tiers` tiers lower: primaries move to tier `tiers`, their backups to the next
    /// one, and so on. There is no tier below 255.
    #[must_use]
    pub fn with_shifted(self, source: impl Discovery, tiers: u8) -> Self {
        let shift = move |backend: Backend| {
            let tier = backend.priority.get().saturating_add(tiers);
            backend.with_priority(Priority::new(tier))
        };
        self.with(Map::new(source, shift))
    }
}

#[async_trait]
impl Discovery for Merge {
    fn source(&self) -> Arc<str> {
        let labels: Vec<_> = self.parts.iter().map(|part| part.source()).collect();
        format!("merge({})", labels.join(", ")).into()
    }

    fn identity(&self) -> Arc<str> {
        let parts: Vec<_> = self.parts.iter().map(|part| part.identity()).collect();
        format!("merge {parts:?}").into()
    }

    async fn watch(&self) -> Result<SnapshotStream, DiscoveryError> {
        if self.parts.is_empty() {
            let empty = stream::once(async { Ok(Snapshot::default()) });
            return Ok(empty.chain(stream::pending()).boxed());
        }
        let watches = try_join_all(self.parts.iter().map(|part| part.watch())).await?;
        let labels: Vec<_> = self.parts.iter().map(|part| part.source()).collect();
        let sets = (0_usize..).zip(watches).map(|(index, sets)| {
            // The end of one is the end of all, which `select_all` alone would not notice.
            let what = format!("watching {}", labels[index]).into();
            let ended = stream::once(async { Err(DiscoveryError::Closed { what }) });
            sets.chain(ended).map(move |item| (index, item)).boxed()
        });
        let mut last: Vec<Option<Snapshot>> = vec![None; labels.len()];
        let unions = stream::select_all(sets).filter_map(move |(index, item)| {
            let union = item.map(|set| {
                last[index] = Some(with_provenance(set, &labels[index]));
                let sets: Option<Vec<&Snapshot>> = last.iter().map(Option::as_ref).collect();
                sets.map(|sets| sets.into_iter().flatten().cloned().collect())
            });
            std::future::ready(union.transpose())
        });
        // Without a driver there is no rule for a part that failed.
        let unions = unions.scan(false, |has_failed, item| {
            let item = (!*has_failed).then_some(item);
            *has_failed |= item.as_ref().is_some_and(Result::is_err);
            std::future::ready(item)
        });
        Ok(unions.boxed())
    }

    fn refresh(&self) {
        for part in &self.parts {
            part.refresh();
        }
    }

    fn parts(&self) -> Option<Vec<Arc<dyn Discovery>>> {
        Some(self.parts.clone())
    }
}
