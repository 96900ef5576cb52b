//! `ssl_preread`.

use super::settings::settings;
use crate::syntax::directive::Args::Exactly;

settings! {
    /// Whether the server name in a client's TLS ClientHello is read.
    SslPrereadSettings, SslPrereadDraft, SSL_PREREAD {
        /// `ssl_preread`, off by default.
        enabled: bool = false,
        "ssl_preread" Exactly(1) => |statement, _| statement.flag();
    }
}
