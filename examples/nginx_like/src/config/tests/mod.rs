//! The whole language, from text to [`Config`].

mod conf;
mod coverage;
mod health_check;
mod include;
mod main_level;
mod never_panics;
mod nginx;
mod proxy_pass;
mod rejected;
mod server_settings;
mod upstream;
mod variables;
mod warnings;

use std::path::Path;
use std::time::Duration;

use super::main::Config;
use super::stream::Stream;
use crate::syntax::error::ConfigError;

/// The name that the tests give to a file in memory.
const NAME: &str = "test.conf";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(Path::new(NAME), text.as_bytes(), Path::new(""))
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Reads the inside of a `stream` block.
fn stream(text: &str) -> Stream {
    parse(&format!("stream {{ {text} }}"))
        .unwrap()
        .stream
        .unwrap()
}

/// The blocks around a piece of configuration. It starts on line 2.
#[derive(Clone, Copy, Debug)]
enum In {
    /// Nothing around it; starts on line 1.
    Main,
    /// An `events` block.
    Events,
    /// A `stream` block.
    Stream,
    /// A `stream` block after an upstream `u` with one server.
    StreamWithU,
    /// An `upstream` block.
    Upstream,
    /// The parameters of a `server` of an upstream.
    UpstreamServer,
    /// A `server` block with all that it needs.
    Server,
    /// The arguments of a `listen`.
    Listen,
}

impl In {
    fn wrap(self, text: &str) -> String {
        let (before, after) = match self {
            Self::Main => return text.to_owned(),
            Self::Events => ("events {\n", "\n}"),
            Self::Stream => ("stream {\n", "\n}"),
            Self::StreamWithU => ("stream { upstream u { server 10.0.0.1:446; }\n", "\n}"),
            Self::Upstream => ("stream { upstream u {\n", "\n} }"),
            Self::UpstreamServer => ("stream { upstream u { server 10.0.0.1:446\n", "; } }"),
            Self::Server => (
                "stream { server { listen 446; proxy_pass 10.0.0.1:446;\n",
                "\n} }",
            ),
            Self::Listen => (
                "stream { server { proxy_pass 10.0.0.1:446; listen\n",
                "; } }",
            ),
        };
        format!("{before}{text}{after}")
    }
}
