//! Whether a reload describes the settings that sessions read already.

use super::route::Route;
use crate::sameness::{are_same, is_one};

impl Route {
    /// Whether both are the same settings. Functions, hooks, readers and tables of names are compared by their addresses, since
    /// they cannot be compared otherwise, and upstreams by their pools.
    pub(crate) fn is_same_as(&self, other: &Self) -> bool {
        let Self {
            unix,
            label,
            upstream,
            client_options,
            backend_options,
            bind_source,
            timeouts,
            splice,
            half_close,
            retry,
            on_refusal,
            abandon_silent,
            access,
            limits,
            limit_dry_run,
            limit_before_access,
            removal_deadline,
            hooks,
            report_interval,
            session_data,
            prereads,
            preread_timeout,
            send_proxy,
            server_names,
            function,
            bandwidth,
            keeps_preread,
        } = self;
        let are_values_equal = *unix == other.unix
            && *label == other.label
            && *client_options == other.client_options
            && *backend_options == other.backend_options
            && *timeouts == other.timeouts
            && *splice == other.splice
            && *half_close == other.half_close
            && *retry == other.retry
            && *on_refusal == other.on_refusal
            && *abandon_silent == other.abandon_silent
            && *access == other.access
            && *limit_dry_run == other.limit_dry_run
            && *limit_before_access == other.limit_before_access
            && *removal_deadline == other.removal_deadline
            && *report_interval == other.report_interval
            && *preread_timeout == other.preread_timeout
            && *send_proxy == other.send_proxy
            && *keeps_preread == other.keeps_preread;
        are_values_equal
            && upstream.id() == other.upstream.id()
            && bind_source.is_same_as(&other.bind_source)
            && are_same(limits, &other.limits, |a, b| a.is_same_as(b))
            && are_same(prereads, &other.prereads, is_one)
            && are_same(hooks, &other.hooks, is_one)
            && are_same(server_names, &other.server_names, is_one)
            && are_same(session_data, &other.session_data, |a, b| a.is_same_as(b))
            && are_same(function, &other.function, |a, b| a.is_same_as(b))
            && are_same(bandwidth, &other.bandwidth, |a, b| a.is_same_as(b))
    }
}
