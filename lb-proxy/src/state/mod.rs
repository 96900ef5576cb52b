//! State that the sessions, the accept loops and the server of one proxy share.
//!
//! [`ProxyState`](proxy::ProxyState) belongs to the whole proxy, [`ListenerState`](listener::ListenerState) to one
//! listener, [`Worker`](worker::Worker) to one worker. A reload replaces the first two; [`Trackers`](trackers::Trackers)
//! live as long as the server.

pub(crate) mod bandwidth_setting;
pub(crate) mod cut_off;
pub(crate) mod hops;
pub(crate) mod listener;
pub(crate) mod listener_table;
pub(crate) mod lost_addresses;
pub(crate) mod permit;
pub(crate) mod proxy;
pub(crate) mod route;
pub(crate) mod route_action;
pub(crate) mod route_function;
mod same_route;
pub(crate) mod shutdown;
pub(crate) mod split;
pub(crate) mod trackers;
pub(crate) mod virtual_servers;
pub(crate) mod worker;
