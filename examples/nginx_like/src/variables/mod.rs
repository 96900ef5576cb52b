//! Variables: texts such as `$remote_addr:$server_port`, compiled while the configuration is read, evaluated for a session.
//!
//! # To use a text with variables in a directive
//!
//! [`Value::compile`](value::Value::compile) takes the text that a statement has and reports nginx's errors. A name may be
//! used before the `map` that defines it: [`link`](link::link) looks all names up after the `stream`
//! block was read, and reports an unknown one at the place of its use. [`Value::literal`](value::Value::literal) is the
//! text of a value without variables, for checks that need no session.
//!
//! # To evaluate
//!
//! `Stream::variables` has the linked table. [`Context::new`](context::Context::new) joins it with a
//! [`Connection`](lb_proxy::events::Connection), and [`Context::at_end`](context::Context::at_end) with the
//! [`Summary`](lb_proxy::events::Summary) of a session that ended, for logs. Then
//! [`Value::get`](value::Value::get) returns the bytes, without an allocation if the value is literal, and
//! [`Value::append`](value::Value::append) writes them to a [`ValueOutput`](output::ValueOutput). A variable without a value is
//! empty in a text; [`Context::variable`](context::Context::variable) distinguishes the two, which a log needs.
//!
//! [`Value::reads_first_bytes`](value::Value::reads_first_bytes) lets lb-proxy drop the first bytes where no value reads
//! them.
//!
//! # To add a variable
//!
//! Built-in variables are a table for each module of nginx, in [`builtin`]: a line has the name, what the value is read
//! from, and the function that writes it, which returns `None` if there is no value. A directive that defines variables
//! implements [`Definition`](table::Definition) and adds itself to the [`Definitions`](definitions::Definitions) of the
//! `stream` block.
//!
//! # What a session stores
//!
//! As in nginx, a session evaluates most variables of `map`s once. Here it stores only those that could change:
//! [`session`] has the rules. It also has what `set` assigned and what regular expressions captured. The listener's
//! [session data](lb_proxy::Listener::session_data) holds these values; they are allocated with the first.

mod buffer;
pub(crate) mod builtin;
pub(crate) mod context;
pub(crate) mod definitions;
pub(crate) mod ending;
pub(crate) mod error;
pub(crate) mod geo;
pub(crate) mod id;
pub(crate) mod link;
pub(crate) mod map;
mod murmur2;
pub(crate) mod output;
pub(crate) mod pcre;
pub(crate) mod regex;
pub(crate) mod session;
pub(crate) mod split;
mod stored;
pub(crate) mod table;
mod template;
pub(crate) mod value;
