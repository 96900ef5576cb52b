//! Leases: the connections in flight of a backend are references to its state. This page has the whole protocol.
//!
//! # Why
//!
//! A count of connections beside the reference count would cost two more atomic additions for each pick. So the
//! reference count is the count: a lease is a strong reference to the state, and all other owners of the state mark their
//! references as none.
//!
//! # Actors
//!
//! - A **picker** is any thread that picks, reports and drops leases. It takes strong references and drops them.
//! - The **updater** is one thread at a time (`Updater` is not `Clone`). It alone makes and drops state references: those of
//!   sets, tiers and load indexes.
//! - A **reader** is a thread that counts: for `max_conns`, a status page, the load index, or a removed backend.
//!
//! # Counters of a backend
//!
//! | counter | counts | written by |
//! |---|---|---|
//! | strong count | leases and state references | pickers, the updater |
//! | weak count | [`Discount`](reference::Discount)s, one for each state reference | the updater |
//! | [`permits`](connection_limit) | leases that were taken under a `max_conns` | pickers |
//!
//! Leases = strong count - weak count. The [load index](crate::load_index) is computed from that and never counts by
//! itself.
//!
//! # Invariants
//!
//! 1. A state reference takes its strong reference before its discount, and drops the discount first. So in memory
//!    strong >= weak + leases, and a reader that reads both counts at one moment never counts a lease too few.
//! 2. A tier stores strong references and discounts apart, for the sake of the cache, and drops them pair by pair.
//! 3. State references change only while the updater runs. It drops replaced memberships itself, when no picker reads them
//!    any more. So a count is wrong for some nanoseconds of an update at the most.
//! 4. [`in_flight`](reference::in_flight) may then be one off in either direction: statuses and the load index tolerate that,
//!    and the updater computes the load index again after it has published.
//!    [`in_flight_at_most`](reference::in_flight_at_most) may be too large but never too small: `max_conns` needs that.
//! 5. A permit is released before its reference is dropped, and leases from before a limit have no permit. So a limit
//!    compares both the permits and the leases with `max_conns`, and where there may be leases without a permit, compares
//!    the leases again after it took its own.
//! 6. A thread that stores a load reads the counts again afterwards. A lease that ends looks up its position in the load
//!    index again after its reference is gone. So the last of several threads to store leaves the right load.
//!
//! # Orderings
//!
//! std's `Arc` adds strong references relaxed and drops them with Release; `Arc::downgrade` adds a weak reference with
//! Acquire and dropping one is a Release. Both counts are read relaxed. The fences below add what is missing. On x86 the
//! Acquire and Release ones cost nothing.
//!
//! The last column names the loom models (`loom_models`) that fail when the line is removed. "None" means that no model
//! failed: the reason is the argument in the middle column alone.
//!
//! | where | what it forbids, and its partner | models that fail without it |
//! |---|---|---|
//! | `StateRef::to`, Release fence between strong and weak increment | counting the discount but not the reference; partner: the first fence of `in_flight_at_most` | `a_lease_without_a_permit_is_never_overlooked`, `a_read_beside_an_update_counts_no_connection_less` |
//! | `in_flight_at_most`, first Acquire fence | reading the strong count before the first weak count; partner: the fence of `StateRef::to` | `a_read_beside_an_update_counts_no_connection_less` |
//! | `in_flight_at_most`, second Acquire fence | reading the second weak count before the strong count; partner: std's Release decrement of a discount and its reference | the same |
//! | `in_flight_at_most`, weak count before or after only | state references made or dropped in between | the same, for each of the two |
//! | `StateRef`, discount dropped before the reference | a reference that is gone while its discount counts | both of the first row |
//! | `Tier::drop`, pair by pair | the same for a tier | both of the first row |
//! | `ConnectionLimit`, leases compared as well | overlooking leases without a permit | `a_read_beside_an_update_counts_no_connection_less` |
//! | `take_permitted`, leases compared again | two threads that both take the last connection beside a lease without a permit | `max_conns_holds_beside_a_lease_without_a_permit` |
//! | `ConnectionLimit`, leases read twice before a refusal | a refusal because of an update that runs | none |
//! | `ConnectionLimit::acquire`, permits read again before a refusal | a refusal by numbers of two moments | none |
//! | `LoadIndex::record`, SeqCst fence | two threads that each store a load without the change of the other; partner: the same fence in the other thread | `leases_that_begin_and_end_at_once_are_recorded`, `leases_that_begin_beside_an_update_are_recorded`, `leases_that_end_beside_an_update_are_recorded` |
//! | `LoadIndex::record`, counts read again | the same | the same three |
//! | `Pick::end`, position looked up again | recording the end in an index that was replaced | `leases_that_end_beside_an_update_are_recorded` |
//! | `Pick::end`, SeqCst fence after the drop | looking up the position before the reference is gone; partner: the fence of `LoadIndex::record` in the updater, which stores the position before it counts | none |
//! | `BackendState::index_entry`, position read again if its index is gone | ending a lease without an index while the next one is published | `leases_that_end_beside_an_update_are_recorded` |
//! | `LoadIndex::restore`, second look after a second | a lease that ended while its backend was in no index | `the_second_look_records_leases_that_end_while_their_backend_returns` |
//! | `Retired::free`, memberships kept while a lease updates their index | dropping a load index, and its state references, in a picker | none |
//! | `Updater::publish`, load indexes computed again | loads that count state references of the replaced membership | `leases_that_begin_beside_an_update_are_recorded`, `leases_that_end_beside_an_update_are_recorded` |
//! | `LoadIndex::exclude`, note stored after the exclusion; `restore`, notes swapped | a thread that clears a note without restoring its backend | `a_backend_that_recovers_while_another_is_excluded_is_found` |
//! | `Standing::suspect`, AcqRel | saying that there is a reason before it is stored; partner: the exchange in `clear_if` | `a_suspicion_that_comes_while_another_is_cleared_stays` |
//! | `Standing::clear_if`, AcqRel | reading the reasons before the word; partner: the exchange in `suspect` | the same |
//! | `Standing`, the count of suspicions | clearing a suspicion while another thread stores a new reason | the same |
//! | `Standing::set_indexed`, AcqRel | saying that there is a position before it is stored; partners: the exchanges of the same word. `is_indexed` is relaxed: a lease that reads an old word overlooks the index, which the updater computes again after it has published | none |
//! | `Generation::advance`, Release; `get`, Acquire | a new generation without the change of a standing behind it; partners: each other | `a_thread_that_reads_a_generation_reads_the_change_behind_it`, all of `loom_models/health.rs` |
//! | `Validity::holds`, Acquire; `finish`, Release of the three words | tier health from before the words that say that it holds; partners: each other | `tier_health_that_holds_was_stored_before` |
//! | `Validity::begin`, the exchange | two threads that recompute tier health at a time, and mix two passes | `one_thread_recomputes_tier_health_at_a_time` |
//! | `Validity::begin`, Acquire; `finish`, Release of `is_locked` | a pass that does not read what the pass before it stored; partners: each other | the same |
//! | `Published::is_ejecting`, the exchange | two threads that each eject the last outlier of the share | `outliers_of_one_moment_are_not_ejected_beyond_the_share` |
//! | `Published::is_ejecting`, Acquire and Release | counting the ejected backends without the one that the thread before ejected; partners: each other | the same, for each of the two |
//! | `LoadIndex::counted`, swapped | adding to `total` a difference from a count that another thread has replaced | the three of `LoadIndex::record` |
//! | `LoadIndex::{total, counted}`, SeqCst | nothing: a sum of differences needs no order, and a pick checks what it finds. One ordering for the whole index is simpler to review | none |
//! | `LoadIndex::is_new`, swapped | more than one second look, which would cost time only | none |
//! | `MinTree`, all accesses SeqCst | two threads that each store a leaf and read the other's as it was before, so that the node above them keeps a load that no leaf has; partners: each other | none |
//!
//! All accesses of the load index's tree are sequentially consistent. An update stores a leaf, and then reads the leaf's siblings to
//! compute the node above; another thread does the same with a sibling. Each thread's loads come after its own store of another
//! word, an order that acquire and release do not give. loom takes sequentially consistent accesses for acquire and release, so
//! trees of several levels are beyond the models.

pub(crate) mod connection_limit;
pub(crate) mod limited;
pub(crate) mod pick;
pub(crate) mod reference;
pub(crate) mod response_timer;
