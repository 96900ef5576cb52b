//! The settings of nginx's stream core module.

use std::time::Duration;

use super::settings::settings;
use super::time_out::time_out;
use crate::syntax::directive::Args::Exactly;
use crate::syntax::directive::{Block, Directive};

settings! {
    /// Settings of connections before the relay.
    CoreSettings, CoreDraft, STREAM_CORE {
        /// `lb_error_log_rate`, ours, on by default: whether a storm of lines of one kind is cut and counted.
        error_log_rate: bool = true,
        "lb_error_log_rate" Exactly(1) => |statement, _| statement.flag();

        /// `preread_buffer_size`, 16k by default: how many bytes are read in search of a server name.
        preread_buffer_size: usize = 16 * 1024,
        "preread_buffer_size" Exactly(1) => |statement, _| statement.size();

        /// `preread_timeout`, 30 s by default: how long the client may take to send them.
        preread_timeout: Duration = Duration::from_secs(30),
        "preread_timeout" Exactly(1) => time_out;

        /// `proxy_protocol_timeout`, 30 s by default: how long the client may take to send its PROXY header.
        proxy_protocol_timeout: Duration = Duration::from_secs(30),
        "proxy_protocol_timeout" Exactly(1) => time_out;

        /// `tcp_nodelay`, on by default.
        tcp_nodelay: bool = true,
        "tcp_nodelay" Exactly(1) => |statement, _| statement.flag();
    }
}

impl<B: Block> Directive<B> {
    pub(crate) const VARIABLES_HASH_BUCKET_SIZE: Self =
        Self::without_effect("variables_hash_bucket_size", Exactly(1));
    pub(crate) const VARIABLES_HASH_MAX_SIZE: Self =
        Self::without_effect("variables_hash_max_size", Exactly(1));
}
