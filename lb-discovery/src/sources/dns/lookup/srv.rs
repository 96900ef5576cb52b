//! From the SRV records of a service to backends.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use lb_core::{Backend, Priority, Weight};
use tracing::warn;

use crate::error::DiscoveryError;
use crate::sources::dns::config::lookup_config::LookupConfig;
use crate::sources::dns::lookup::addresses::{AttemptErrors, PARTIAL_VALIDITY};
use crate::sources::dns::lookup::host::LookupState;
use crate::sources::dns::resolver::Resolver;
use crate::sources::dns::server::answer::Answer;
use crate::sources::dns::server::error::what;

/// An SRV record (RFC 2782).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct SrvRecord {
    pub(crate) priority: u16,
    pub(crate) target: Name,
    pub(crate) port: u16,
    pub(crate) weight: u16,
}

impl SrvRecord {
    fn read(data: &RData) -> Option<Self> {
        let RData::SRV(srv) = data else { return None };
        let mut target = srv.target.to_lowercase();
        target.set_fqdn(true);
        Some(Self {
            priority: srv.priority,
            target,
            port: srv.port,
            weight: srv.weight,
        })
    }

    /// Whether it offers a server. The root as target means "decidedly not available", and port 0 cannot be used.
    fn is_offer(&self) -> bool {
        !self.target.is_root() && self.port != 0
    }
}

/// The lookup of one service, and its state between lookups.
pub(crate) struct SrvLookup {
    name: Name,
    shown: Arc<str>,
    most_targets: usize,
    known: Mutex<ServiceState>,
}

#[derive(Default)]
struct ServiceState {
    /// The candidate name that the records came from.
    name: Option<Name>,
    targets: BTreeMap<Name, Arc<TargetState>>,
    too_many: bool,
}

#[derive(Default)]
struct TargetState {
    state: Mutex<LookupState>,
    last: Mutex<TargetAddresses>,
}

/// The last addresses of a target.
#[derive(Clone, Default)]
struct TargetAddresses {
    addrs: BTreeSet<IpAddr>,
    /// Whether it is logged that they are outdated.
    old: bool,
}

impl From<BTreeSet<IpAddr>> for TargetAddresses {
    fn from(addrs: BTreeSet<IpAddr>) -> Self {
        Self { addrs, old: false }
    }
}

impl SrvLookup {
    pub(crate) fn new(name: Name, shown: Arc<str>, most_targets: usize) -> Self {
        Self {
            name,
            shown,
            most_targets,
            known: Mutex::default(),
        }
    }

    /// Looks up the records and the addresses of all their targets. The set holds for the minimum of their TTLs.
    ///
    /// A target without an answer delays the lookup until its question times out.
    pub(crate) async fn lookup(
        &self,
        resolver: &Resolver,
    ) -> Result<(Vec<Backend>, Duration), DiscoveryError> {
        let answer = self.records(&resolver.conf()).await?;
        let mut valid_for = resolver.valid().unwrap_or(answer.valid_for);
        let records = offers(answer.records);
        if records.is_empty() {
            return Err(DiscoveryError::NoService {
                what: what(&self.shown),
                valid_for: Some(valid_for),
            });
        }
        let records = self.limit(records);
        let targets = self.targets(&records);
        let lookups = targets.iter().map(|(name, target)| async move {
            let shown = format!("{} of {}", text(name), self.shown);
            let state = &target.state;
            (name, target, resolver.addresses(name, &shown, state).await)
        });
        let mut addrs = BTreeMap::new();
        let mut failures = AttemptErrors::default();
        let mut answered = false;
        for (name, target, outcome) in join_all(lookups).await {
            let mut last = target.last.lock().unwrap_or_else(PoisonError::into_inner);
            match outcome {
                Ok(found) => {
                    answered = true;
                    valid_for = valid_for.min(found.valid_for.unwrap_or(PARTIAL_VALIDITY));
                    *last = found.addrs.into();
                }
                Err(error) if error.is_authoritative_empty() => {
                    valid_for = valid_for.min(error.valid_for().unwrap_or(PARTIAL_VALIDITY));
                    *last = TargetAddresses::default();
                    failures.add(error);
                }
                Err(error) => {
                    valid_for = valid_for.min(PARTIAL_VALIDITY);
                    if !std::mem::replace(&mut last.old, true) {
                        let (error, kept) = (error.report(), last.addrs.len());
                        warn!(service = %self.shown, %error, kept, "Addresses of a target missing or outdated");
                    }
                    failures.add(error);
                }
            }
            addrs.insert(name, last.addrs.clone());
        }
        if !answered {
            return Err(failures.into_error(&self.shown));
        }
        Ok((backends(&records, &addrs), valid_for))
    }

    /// The SRV records of the first candidate name that has any.
    pub(crate) async fn records(
        &self,
        conf: &LookupConfig,
    ) -> Result<Answer<SrvRecord>, DiscoveryError> {
        let mut failures = AttemptErrors::default();
        for candidate in conf.candidates(&self.name) {
            let kind = RecordType::SRV;
            match conf
                .ask(&candidate, kind, &self.shown, SrvRecord::read)
                .await
            {
                Ok(answer) => {
                    self.known().name = Some(candidate);
                    return Ok(answer);
                }
                // The candidate that the records came from does not answer: another one must not replace it.
                Err(error)
                    if !error.is_authoritative_empty()
                        && self.known().name.as_ref() == Some(&candidate) =>
                {
                    return Err(error);
                }
                Err(error) => failures.add(error),
            }
        }
        Err(failures.into_error(&self.shown))
    }

    /// Truncates `records`, which are in their order of preference, to the maximum number of targets.
    fn limit(&self, mut records: Vec<SrvRecord>) -> Vec<SrvRecord> {
        let too_many = records.len() > self.most_targets;
        let before = std::mem::replace(&mut self.known().too_many, too_many);
        if too_many && !before {
            let (found, kept) = (records.len(), self.most_targets);
            warn!(service = %self.shown, records = found, kept, "Too many service records");
        }
        records.truncate(self.most_targets);
        records
    }

    /// The state of each target of `records`. Drops the state of other targets.
    fn targets(&self, records: &[SrvRecord]) -> BTreeMap<Name, Arc<TargetState>> {
        let mut known = self.known();
        let mut before = std::mem::take(&mut known.targets);
        for record in records {
            let name = &record.target;
            if !known.targets.contains_key(name) {
                let target = before.remove(name).unwrap_or_default();
                known.targets.insert(name.clone(), target);
            }
        }
        known.targets.clone()
    }

    fn known(&self) -> MutexGuard<'_, ServiceState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records that offer a server, in a deterministic order, the preferred ones first.
fn offers(records: Vec<SrvRecord>) -> Vec<SrvRecord> {
    let mut offers: Vec<SrvRecord> = records.into_iter().filter(SrvRecord::is_offer).collect();
    offers.sort();
    offers
}

/// The backends of sorted `records` and the addresses of their targets.
///
/// The n-th of the different priorities is tier n. Each address of a target has its record's weight.
pub(crate) fn backends(
    records: &[SrvRecord],
    addrs: &BTreeMap<&Name, BTreeSet<IpAddr>>,
) -> Vec<Backend> {
    let tiers = records.chunk_by(|a, b| a.priority == b.priority);
    let of_tier = |(tier, records): (usize, &[SrvRecord])| {
        let priority = Priority::new(u8::try_from(tier).unwrap_or(u8::MAX));
        let weights = weights(records);
        let mut backends = Vec::new();
        for (record, weight) in records.iter().zip(weights) {
            let name: Arc<str> = text(&record.target).into();
            for addr in addrs.get(&record.target).into_iter().flatten() {
                let backend = Backend::new(SocketAddr::new(*addr, record.port))
                    .name(Arc::clone(&name))
                    .priority(priority)
                    .weight(weight);
                backends.push(backend);
            }
        }
        backends
    };
    tiers.enumerate().flat_map(of_tier).collect()
}

/// The weights of records of one priority.
///
/// RFC 2782 gives a record of weight 0 "a very small chance of being selected", and its algorithm makes that chance 1
/// in (sum of the weights + 1) for all such records together. A backend of weight 0 takes no connections, so each of the n
/// records of weight 0 gets 1 and the other weights are multiplied by n, which is the same chance. Where that exceeds the
/// largest weight, they are multiplied by the largest factor that fits.
fn weights(records: &[SrvRecord]) -> impl Iterator<Item = Weight> {
    let zeros = records.iter().filter(|record| record.weight == 0).count();
    let largest = records.iter().map(|record| record.weight).max();
    let fits = u16::MAX / largest.unwrap_or_default().max(1);
    let times = u16::try_from(zeros).unwrap_or(u16::MAX).clamp(1, fits);
    let weight = move |record: &SrvRecord| Weight::new((record.weight * times).max(1));
    records.iter().map(weight)
}

/// A name without the dot at its end.
fn text(name: &Name) -> String {
    let text = name.to_ascii();
    text.strip_suffix('.').map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests;
