//! The kinds of blocks: for each a table of directives, and the values as they were written.

mod access;
mod events;
mod kubernetes;
mod limit_conn;
mod listen;
mod log;
mod main;
mod map;
mod real_ip;
mod resolver;
mod server;
mod settings;
mod stream;
mod upstream;

use super::directive::Scope;

pub(crate) use self::{
    events::EventsBlock,
    main::MainBlock,
    map::MapBlock,
    resolver::NameResolution,
    server::{Destination, ProxyPass, ServerBlock},
    settings::ProxySettings,
    stream::StreamBlock,
    upstream::UpstreamBlock,
};

/// Tells if a directive may stand in any block.
pub(crate) fn is_known(name: &str) -> bool {
    names().any(|known| known == name)
}

/// Returns the names of all directives, once for each kind of block they may stand in.
fn names() -> impl Iterator<Item = &'static str> {
    names_in::<MainBlock>()
        .chain(names_in::<EventsBlock>())
        .chain(names_in::<StreamBlock>())
        .chain(names_in::<ServerBlock>())
        .chain(names_in::<UpstreamBlock>())
}

fn names_in<S: Scope>() -> impl Iterator<Item = &'static str> {
    S::DIRECTIVES
        .iter()
        .copied()
        .flatten()
        .map(|directive| directive.name)
}

#[cfg(test)]
mod tests {
    use crate::config::unsupported;

    #[test]
    fn all_conf_shows_all_directives() {
        let conf = include_str!("../../../conf/all.conf");
        let shown: Vec<_> = conf.split([' ', ';', '\n']).collect();
        for name in super::names() {
            assert!(shown.contains(&name), "{name}");
        }
    }

    #[test]
    fn no_directive_is_also_unsupported() {
        for name in super::names() {
            assert!(!unsupported::is_known(name), "{name}");
        }
    }
}
