//! How a cluster is reached, and which part of the connections it gets.

use std::net::IpAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use lb_discovery::kubernetes::Cluster;

/// A cluster, as the configuration names it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClusterPlace {
    /// Its name, for messages and files. Empty for a cluster that is alone.
    pub name: String,
    /// The kubeconfig. `None`: what kubectl would use, and inside of a pod its service account.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. `None`: its current one.
    pub context: Option<String>,
    /// The tier of its endpoints: 0 is used first, the next one while no endpoint of it is eligible, and so on.
    pub priority: u8,
    /// Its share of the connections among the clusters of one priority that have a ready endpoint. `None`: endpoints count, not
    /// clusters. 0: no new connections.
    pub weight: Option<u16>,
    /// The networks that its endpoints must have addresses of. `None`: any.
    pub networks: Option<Vec<IpNet>>,
}

impl ClusterPlace {
    /// The API server.
    pub fn cluster(&self) -> Cluster {
        let cluster = match &self.kubeconfig {
            Some(path) => Cluster::kubeconfig(path),
            None => Cluster::inferred(),
        };
        match &self.context {
            Some(context) => cluster.context(context.as_str()),
            None => cluster,
        }
    }

    /// Whether both are reached in the same way.
    pub fn is_same_cluster(&self, other: &Self) -> bool {
        self.kubeconfig == other.kubeconfig && self.context == other.context
    }

    /// Whether an endpoint may have this address.
    pub(super) fn allows(&self, ip: IpAddr) -> bool {
        let mut networks = self.networks.iter().flatten();
        self.networks.is_none() || networks.any(|network| network.contains(&ip))
    }
}
