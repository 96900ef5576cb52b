//! The clusters of the configuration.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::file::{ClusterFile, NamedClusterFile};
use super::{ConfigError, value};
use crate::clusters::ClusterPlace;

/// The clusters, the primary one first: those of the list, or the one that is alone.
pub(super) fn read(
    alone: Option<ClusterFile>,
    list: Option<Vec<NamedClusterFile>>,
) -> Result<Vec<ClusterPlace>, ConfigError> {
    let list = match (alone, list) {
        (Some(_), Some(_)) => {
            let problem = "`cluster` is one cluster, `clusters` a list whose first one is the primary: write one of them";
            return Err(value("clusters", problem));
        }
        (alone, None) => {
            let ClusterFile {
                kubeconfig,
                context,
            } = alone.unwrap_or_default();
            return Ok(vec![ClusterPlace {
                kubeconfig,
                context,
                ..ClusterPlace::default()
            }]);
        }
        (None, Some(list)) => list,
    };
    if list.is_empty() {
        return Err(value(
            "clusters",
            "at least one: the first one is the primary",
        ));
    }
    let mut names = BTreeSet::new();
    let mut weighted = BTreeMap::new();
    for cluster in &list {
        let name = &cluster.name;
        check_name(name)?;
        if !names.insert(name) {
            return Err(value(
                "clusters",
                format!("two clusters have the name {name}"),
            ));
        }
        let has_weight = cluster.weight.is_some();
        if *weighted.entry(cluster.priority).or_insert(has_weight) != has_weight {
            let problem = format!(
                "of the clusters of priority {} some have a weight and some have none: give it to all of them, or to none",
                cluster.priority
            );
            return Err(value("clusters", problem));
        }
        if cluster.networks.as_ref().is_some_and(Vec::is_empty) {
            let problem = format!(
                "the networks of {name} are empty, so no endpoint of it would be used: leave them out for all"
            );
            return Err(value("clusters", problem));
        }
    }
    let places = list.into_iter().map(|cluster| {
        Ok(ClusterPlace {
            networks: cluster.networks.as_deref().map(networks).transpose()?,
            name: cluster.name,
            kubeconfig: cluster.kubeconfig,
            context: cluster.context,
            priority: cluster.priority,
            weight: cluster.weight,
        })
    });
    places.collect()
}

fn networks(texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let networks = texts.iter().map(|text| {
        let network = text.parse::<IpNet>().ok();
        let network = network.filter(|network| network.trunc() == *network);
        network.ok_or_else(|| {
            let problem = format!("{text:?} is no network: write an address and the length of its prefix, as 10.2.0.0/16");
            value("clusters.networks", problem)
        })
    });
    networks.collect()
}

/// Names are a part of those of backends.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match !name.is_empty() && name.len() <= 63 && name.bytes().all(fits) {
        true => Ok(()),
        false => {
            let name: String = name.chars().take(80).collect();
            let problem =
                format!("{name:?} is no name: write at most 63 lower-case letters, digits and '-'");
            Err(value("clusters", problem))
        }
    }
}
