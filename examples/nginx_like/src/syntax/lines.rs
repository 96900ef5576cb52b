//! Blocks whose lines begin with any word instead of the name of a directive.

use super::directive::{Args, Block, Directive};
use super::error::ConfigError;
use super::reader::Reader;
use super::statement::Statement;

/// What is read of a block of lines.
pub(crate) trait TakeLine: Sized + 'static {
    /// Reads a line.
    fn take(&mut self, line: &Statement, reader: &mut Reader<'_>) -> Result<(), ConfigError>;
}

/// A block of lines.
#[derive(Debug)]
pub(crate) struct Lines<T>(pub(crate) T);

impl<T: TakeLine> Block for Lines<T> {
    const DIRECTIVES: &'static [Directive<Self>] = &[];
    const ANY_WORD: Option<&'static Directive<Self>> = Some(&Directive::simple(
        "",
        Args::AtLeast(0),
        |block, line, reader| block.0.take(line, reader),
    ));
}
