//! The table of live sessions: what an operator sees of them, and how one is closed.
//!
//! Each worker has a [`SessionTable`](table::SessionTable) with one [`LiveSession`](entry::LiveSession) a session. A query
//! copies references out of a table in chunks of bounded size, and reads the sessions without the table's lock. A table
//! that is switched off costs a session one load.

pub(crate) mod entry;
mod filter;
mod phase;
mod report;
mod selection;
pub(crate) mod table;

pub use filter::{SessionFilter, SessionOrder};
pub use phase::SessionPhase;
pub use report::{SessionList, SessionReport};
pub(crate) use selection::Selection;
