//! What is known of the clusters, in a file from which the next process begins.
//!
//! - `document`: the schema, with versions;
//! - `saver`: writes it again and again.
//!
//! The file has the objects as the API has them, with the fields that are read, and what speaks against backends. So the next process decides about them as if the
//! API servers had just listed them, and differences in its own configuration count.

mod document;
mod saver;

use std::time::SystemTime;

use lb_proxy::reports::{SavedStateError, StateFile};
use tracing::{info, warn};

pub(crate) use document::RestoredState;
pub use document::{SavedCluster, SavedClusters};
pub(crate) use saver::StateSaver;

use crate::clusters::Knowledge;
use crate::config::StateSettings;

/// The largest file: more than a million endpoints.
const LIMIT: u64 = 512 << 20;

/// The file of `settings`.
fn file(settings: &StateSettings) -> StateFile {
    StateFile::new(&settings.file).limit(LIMIT)
}

/// Reads the file, if it can be used. One that cannot is no reason not to start. Blocks.
pub(crate) fn restore(settings: &StateSettings, now: SystemTime) -> Option<RestoredState> {
    let path = settings.file.display();
    let read = file(settings).read().and_then(|json| {
        json.map(|json| RestoredState::from_json(&json, now))
            .transpose()
    });
    let saved = match read {
        Ok(Some(saved)) => saved,
        Ok(None) => {
            info!(%path, "No state file yet");
            return None;
        }
        Err(error) => {
            let error = match &error {
                SavedStateError::Io { source } => format!("{error}: {source}"),
                error => error.to_string(),
            };
            warn!(%path, error, "State file ignored");
            return None;
        }
    };
    let mut usable = SavedClusters::default();
    for cluster in saved.clusters.clusters {
        let knowledge = Knowledge::AsOf(cluster.as_of);
        let age = knowledge.describe_age(now);
        let name = &cluster.name;
        match settings.max_age {
            Some(limit) if knowledge.is_older_than(limit, now) => {
                warn!(%path, cluster = %name, age, ?limit, "Part of the state file ignored: it is too old");
            }
            _ => {
                let services = cluster.services.len();
                info!(%path, cluster = %name, age, services, "State file restored");
                usable.clusters.push(cluster);
            }
        }
    }
    Some(RestoredState {
        clusters: usable,
        faults: saved.faults,
    })
}
