//! The names of all directives, and errors of misplaced ones.

use super::events::EventsBlock;
use super::main::MainBlock;
use super::server::ServerBlock;
use super::stream::StreamBlock;
use super::unsupported::Refusal;
use super::upstream::block::UpstreamBlock;
use crate::syntax::directive::Block;
use crate::syntax::error::SyntaxError;

/// The error of a directive in a block that does not have it.
pub(crate) fn misplaced(name: &str) -> SyntaxError {
    let is_known = names().any(|known| known == name);
    let name = name.to_owned();
    if is_known {
        SyntaxError::NotAllowedHere { name }
    } else if let Some(Refusal { is_final, instead }) = Refusal::of(&name) {
        SyntaxError::NotSupported {
            name,
            is_final,
            instead,
        }
    } else {
        SyntaxError::UnknownDirective { name }
    }
}

/// The names of all directives, once for each kind of block they may stand in.
fn names() -> impl Iterator<Item = &'static str> {
    names_in::<MainBlock>()
        .chain(names_in::<EventsBlock>())
        .chain(names_in::<StreamBlock>())
        .chain(names_in::<ServerBlock>())
        .chain(names_in::<UpstreamBlock>())
}

fn names_in<B: Block>() -> impl Iterator<Item = &'static str> {
    B::directives().map(|directive| directive.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_conf_shows_all_directives() {
        let conf = include_str!("../../conf/all.conf");
        let shown: Vec<_> = conf.split([' ', ';', '\n']).collect();
        for name in names() {
            assert!(shown.contains(&name), "{name}");
        }
    }

    #[test]
    fn no_directive_is_also_unsupported() {
        for name in names() {
            assert!(Refusal::of(name).is_none(), "{name}");
        }
    }
}
