//! The schema of the file. A field that is added needs no new version; one that is removed or changes its meaning does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lb_discovery::kubernetes::controller::{ClusterNode, EndpointSlice};
use lb_proxy::reports::{SavedState, SavedStateError};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::gateway::GatewayObjects;
use crate::objects::{Service, by_key};

const VERSION: u64 = 1;

/// What every version has.
#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Deserialize)]
struct Document {
    #[serde(with = "millis")]
    saved: SystemTime,
    clusters: Vec<SavedCluster>,
    /// [`SavedState`], which has a version of its own.
    #[serde(default)]
    faults: Value,
}

#[derive(Serialize)]
struct WrittenDocument<'a> {
    version: u64,
    #[serde(with = "millis")]
    saved: SystemTime,
    clusters: &'a [SavedCluster],
    faults: Value,
}

/// What the next process begins with.
#[derive(Debug, Default)]
pub(crate) struct RestoredState {
    /// What was known of clusters.
    pub(crate) clusters: SavedClusters,
    /// What speaks against backends.
    pub(crate) faults: Option<SavedState>,
}

/// What is known of clusters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SavedClusters {
    /// The clusters.
    pub clusters: Vec<SavedCluster>,
}

/// What is known of one cluster.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct SavedCluster {
    /// Its name in the configuration.
    pub name: String,
    /// When it was true.
    #[serde(with = "millis")]
    pub as_of: SystemTime,
    /// Its Services.
    #[serde(with = "by_key")]
    pub services: BTreeMap<String, Arc<Service>>,
    /// Its EndpointSlices, by their own keys.
    #[serde(with = "by_key")]
    pub slices: BTreeMap<String, Arc<EndpointSlice>>,
    /// Its nodes, if they were followed.
    #[serde(with = "by_key")]
    pub nodes: BTreeMap<String, Arc<ClusterNode>>,
    /// Its objects of the Gateway API.
    pub gateway: GatewayObjects,
}

impl SavedClusters {
    /// Takes the cluster `name`.
    pub(crate) fn take(&mut self, name: &str) -> Option<SavedCluster> {
        let found = self.clusters.iter().position(|saved| saved.name == name)?;
        Some(self.clusters.swap_remove(found))
    }

    /// The document of the clusters and of `faults`, as of `now`.
    ///
    /// # Errors
    ///
    /// None that was seen: every key is a text.
    pub(crate) fn to_json(
        &self,
        faults: &SavedState,
        now: SystemTime,
    ) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&WrittenDocument {
            version: VERSION,
            saved: now,
            clusters: &self.clusters,
            faults: serde_json::from_slice(&faults.to_json())?,
        })
    }
}

impl RestoredState {
    /// Reads what [`SavedClusters::to_json`] has written. Faults that cannot be read are left out: clients find them again.
    ///
    /// # Errors
    ///
    /// [`SavedStateError`]: malformed, of another version, or from later than a minute after `now`.
    pub(crate) fn from_json(json: &[u8], now: SystemTime) -> Result<Self, SavedStateError> {
        let malformed = |error: serde_json::Error| SavedStateError::Malformed {
            reason: error.to_string().into(),
        };
        let head: Head = serde_json::from_slice(json).map_err(malformed)?;
        if head.version != VERSION {
            return Err(SavedStateError::Version {
                found: head.version,
                expected: VERSION,
            });
        }
        let document: Document = serde_json::from_slice(json).map_err(malformed)?;
        SavedStateError::check_time(document.saved, now)?;
        let clusters = document.clusters;
        let faults = serde_json::to_vec(&document.faults).map_err(malformed)?;
        Ok(Self {
            clusters: SavedClusters { clusters },
            faults: SavedState::from_json(&faults, now).ok(),
        })
    }
}

/// Moments as milliseconds since 1970.
mod millis {
    use super::*;

    pub(super) fn serialize<S: Serializer>(
        time: &SystemTime,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        serializer.serialize_u64(u64::try_from(millis).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SystemTime, D::Error> {
        let millis = Duration::from_millis(u64::deserialize(deserializer)?);
        let time = SystemTime::UNIX_EPOCH.checked_add(millis);
        time.ok_or_else(|| serde::de::Error::custom("a time that is out of range"))
    }
}

#[cfg(test)]
mod tests;
