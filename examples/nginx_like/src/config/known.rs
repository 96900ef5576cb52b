//! The names of all directives, and errors of misplaced ones.

use super::events::EventsBlock;
use super::main::MainBlock;
use super::server::ServerBlock;
use super::stream::StreamBlock;
use super::unsupported::instead_of;
use super::upstream::block::UpstreamBlock;
use crate::syntax::directive::{Args, Block};
use crate::syntax::error::SyntaxError;

/// The error of a directive in a block that does not have it.
pub(crate) fn misplaced(name: &str) -> SyntaxError {
    let is_known = names().any(|known| known == name);
    let name = name.to_owned();
    if is_known {
        SyntaxError::NotAllowedHere { name }
    } else if let Some(instead) = instead_of(&name) {
        SyntaxError::NotSupported { name, instead }
    } else {
        SyntaxError::UnknownDirective { name }
    }
}

/// The names of all directives, once for each kind of block that allows them.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    tables().map(|known| known.name)
}

/// Whether the directive of this name opens a block wherever it is allowed.
pub(super) fn is_block(name: &str) -> bool {
    let mut of_name = tables().filter(|known| known.name == name).peekable();
    of_name.peek().is_some() && of_name.all(|known| known.is_block)
}

/// A directive in a kind of block.
#[derive(Clone, Copy, Debug)]
struct Known {
    name: &'static str,
    /// The name of the block, empty for the main level.
    block: &'static str,
    args: Args,
    is_block: bool,
}

fn tables() -> impl Iterator<Item = Known> {
    table::<MainBlock>("")
        .chain(table::<EventsBlock>("events"))
        .chain(table::<StreamBlock>("stream"))
        .chain(table::<ServerBlock>("server"))
        .chain(table::<UpstreamBlock>("upstream"))
}

fn table<B: Block>(block: &'static str) -> impl Iterator<Item = Known> {
    B::directives().map(move |directive| Known {
        name: directive.name,
        block,
        args: directive.args,
        is_block: directive.is_block,
    })
}

/// The blocks that allow a directive, in words.
pub(super) fn blocks_of(name: &str) -> String {
    let of_name = tables().filter(|known| known.name == name);
    let blocks: Vec<_> = of_name
        .map(|known| match known.block {
            "" => "on the main level".to_owned(),
            block => format!("in \"{block}\""),
        })
        .collect();
    blocks.join(" and ").replace(" and in ", " and ")
}

/// How many arguments a directive takes, in words. `None` if that depends on the block.
pub(super) fn arguments_of(name: &str) -> Option<String> {
    let mut counts = tables().filter(|known| known.name == name);
    let first = counts.next()?.args.to_string();
    counts
        .all(|other| other.args.to_string() == first)
        .then_some(first)
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
            assert!(instead_of(name).is_none(), "{name}");
        }
    }
}
