//! The rules of the specification, each as a row of a table: objects in, conditions and the plan out.
//!
//! Where the rules of the types of TCPRoute and TLSRoute v1 are tested. `cluster` is `tests/cluster/gateway.rs`, with connections.
//!
//! | field | rule | test |
//! |---|---|---|
//! | `parentRefs` | without one a route is legal, and has no status | `routes::a_route_without_parents_is_legal_and_has_no_status` |
//! | | several references to one parent are distinct, with an entry each | `routes::two_references_to_one_gateway_have_an_entry_each` |
//! | | the parent must admit the kind | `listeners::kinds`, `tls::the_routes_of_other_listeners_are_not_allowed` |
//! | | the parent must admit the namespace; no ReferenceGrant counts there | `routes::namespaces_are_admitted_as_the_listener_says`, `routes::a_selector_counts_only_where_the_listener_selects` |
//! | `group`, `kind` | Gateway by default; other parents are left to other controllers | `routes::a_parent_of_another_kind_or_group_is_not_ours` |
//! | `namespace` | the route's own by default | `routes::the_defaults_of_a_parent_reference_are_the_gateways_of_the_own_namespace` |
//! | `sectionName`, `port` | a listener must match both; without them, all listeners | `routes::parents_are_selected_by_section_name_port_and_kind` |
//! | | one listener that accepts is enough; without any the route is detached | `routes::one_accepting_listener_is_enough` |
//! | | several routes of one listener: the oldest serves | `precedence::the_oldest_route_serves_all_are_accepted_and_the_others_are_told` |
//! | `rules` | there is one; an object of v1alpha2 may have more | `routes::rules_behind_the_first_are_dropped_and_reported` |
//! | `backendRefs` | a Service that does not exist, is not permitted or has no endpoint is refused in proportion to its weight | `backends::references_that_cannot_be_used_are_refused_with_their_weight`, cluster: `each_kind_of_unusable_backend_is_refused_in_proportion_to_its_weight` |
//! | | the same of names | `tls::weights_and_refusals_are_those_of_tcp_routes` and the same of cluster |
//! | | another namespace needs a ReferenceGrant there | `backends::grants_permit_what_they_name`, `backends::a_service_of_the_own_namespace_needs_no_grant_and_one_of_another_does_in_tls_routes_too` |
//! | `group`, `kind` | Services alone, and no ExternalName | `backends::a_service_that_routes_cannot_use` |
//! | `port` | that of the Service, which must be one of TCP | `backends::a_port_number_with_both_protocols_is_used`, cluster: every pod has another port |
//! | `weight` | 1 by default, 0 gets nothing, up to 1000000, all 0 is legal | `backends::references_that_cannot_be_used_are_refused_with_their_weight`, cluster: `connections_are_divided_exactly_by_weight_and_refused_in_proportion` |
//! | `hostnames` | must intersect with the listener's name; `*.` stands for one or more labels | `tls::a_route_is_accepted_if_it_has_a_name_in_common_with_a_listener`, `host_pattern::tests` |
//! | | the most specific name counts, then the oldest route | `tls::names_get_the_route_with_the_most_specific_pattern`, `tls::a_route_that_gets_no_name_is_told_and_one_that_gets_some_too` |
//! | | a TCP listener has no name | `routes::host_names_of_tcp_listeners_are_ignored` |
//! | | what is no host name is refused by the API server, and served by no listener | `tls::names_that_no_client_may_send_get_nothing` |
//! | `status` | conditions with the generation; entries of other controllers stay | `statuses` |

mod addresses;
mod backends;
mod classes;
mod listener_sets;
mod listeners;
mod outcome;
mod policies;
mod policy_fields;
mod precedence;
mod routes;
mod statuses;
mod tls;
mod world;
