//! Several sources as one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt};
use lb_core::{Backend, Priority, Snapshot};

use crate::combinators::map::Map;
use crate::error::DiscoveryError;
use crate::source::{SnapshotStream, Source};
use crate::union::{labelled, union};

/// The union of several sources, each of which may be shifted to lower tiers.
///
/// For example: the pods of this cluster first, those of another cluster as backup, and a fixed list when both are gone.
///
/// The union keeps the order of the parts and, within each, that of its backends. Of several backends with one address
/// the one in the most preferred tier counts and, within a tier, that of the first part, with all its fields: weight and
/// drain included. [`Backend::source`](field@lb_core::Backend::source) has the label of the part that a backend came from.
///
/// A [`Driver`](crate::Driver) follows each [part](Source::parts) independently, with its own last good set, status and
/// delays, as if the parts had been passed to it one by one; a merge within a merge works alike. A
/// [watch](Source::watch) of a merge without a driver yields the union once every part has yielded a set, and ends with
/// the first failure of any part.
///
/// ```
/// use lb_core::Snapshot;
/// use lb_discovery::{Merge, Static};
///
/// let near = Static::new(Snapshot::try_from_backends(["10.0.0.1:446"])?);
/// let far = Static::new(Snapshot::try_from_backends(["10.1.0.1:446"])?);
/// let both = Merge::new().part(near).shifted_part(far, 1);
/// # drop(both);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "aggregate")]
#[derive(Clone, Debug, Default)]
pub struct Merge {
    parts: Vec<Arc<dyn Source>>,
}

impl Merge {
    /// Makes the union of no sources, which is empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `source` without a change.
    #[must_use]
    pub fn part(mut self, source: impl Source) -> Self {
        self.parts.push(Arc::new(source));
        self
    }

    /// Adds `source` with its backends `tiers` tiers lower: primaries move to tier `tiers`, their backups to the next
    /// one, and so on. The lowest tier is 255.
    #[must_use]
    pub fn shifted_part(self, source: impl Source, tiers: u8) -> Self {
        let shift = move |backend: Backend| {
            let tier = backend.priority.get().saturating_add(tiers);
            backend.priority(Priority::new(tier))
        };
        self.part(Map::new(source, shift))
    }
}

#[async_trait]
impl Source for Merge {
    fn label(&self) -> Arc<str> {
        let labels: Vec<_> = self.parts.iter().map(|part| part.label()).collect();
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
        let labels: Vec<_> = self.parts.iter().map(|part| part.label()).collect();
        let sets = (0_usize..).zip(watches).map(|(index, sets)| {
            // The end of one part ends the watch; `select_all` alone would continue with the other parts.
            let what = format!("watching {}", labels[index]).into();
            let ended = stream::once(async { Err(DiscoveryError::Closed { what }) });
            sets.chain(ended).map(move |item| (index, item)).boxed()
        });
        let mut last: Vec<Option<Snapshot>> = vec![None; labels.len()];
        let unions = stream::select_all(sets).filter_map(move |(index, item)| {
            let union = item.map(|set| {
                last[index] = Some(labelled(set, &labels[index]));
                let sets: Option<Vec<&Snapshot>> = last.iter().map(Option::as_ref).collect();
                sets.map(|sets| union(sets.into_iter()))
            });
            std::future::ready(union.transpose())
        });
        // Only a driver keeps the last set of a part that failed.
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

    fn parts(&self) -> Option<Vec<Arc<dyn Source>>> {
        Some(self.parts.clone())
    }
}
