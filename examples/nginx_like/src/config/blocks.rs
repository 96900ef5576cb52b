//! The kinds of blocks: for each a table of directives, and the values as they were written.

use crate::syntax::directive::Scope;

use super::events::EventsBlock;
use super::main::MainBlock;
use super::server::ServerBlock;
use super::stream::StreamBlock;
use super::upstream::block::UpstreamBlock;

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
        let conf = include_str!("../../conf/all.conf");
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
