//! Reads files statement by statement and passes each statement to its directive.
//!
//! Directives take effect in the order of the text, as in nginx, so the first mistake in a file is the one reported.
//! Only mistakes that concern several blocks are reported after all others.

use std::{path::Path, sync::Arc};

use super::{
    directive::{Args, Block, Directive},
    error::{ConfigError, SyntaxError},
    include::ConfFiles,
    lexer::{Item, Lexer},
    span::{Span, Warning},
    statement::Statement,
};

/// What the readers of all files of a configuration share.
#[derive(Debug)]
pub(crate) struct ReadContext {
    pub(crate) files: ConfFiles,
    pub(crate) warnings: Vec<Warning>,
    /// The error of a directive in a block that does not have it, by the directive's name.
    misplaced: fn(&str) -> SyntaxError,
}

impl ReadContext {
    pub(crate) const fn new(files: ConfFiles, misplaced: fn(&str) -> SyntaxError) -> Self {
        Self {
            files,
            warnings: Vec::new(),
            misplaced,
        }
    }
}

/// Reads one file.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    lexer: Lexer<'a>,
    file: Arc<Path>,
    /// The text is an argument of the command line: it has no lines, and no blocks.
    is_parameter: bool,
    context: &'a mut ReadContext,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Arc<Path>, bytes: &'a [u8], context: &'a mut ReadContext) -> Self {
        Self {
            lexer: Lexer::new(bytes),
            file,
            is_parameter: false,
            context,
        }
    }

    /// A reader of an argument of the command line. Messages name its place as `place`.
    pub(crate) fn of_parameter(
        place: Arc<Path>,
        bytes: &'a [u8],
        context: &'a mut ReadContext,
    ) -> Self {
        Self {
            is_parameter: true,
            ..Self::new(place, bytes, context)
        }
    }

    /// The line of the statement that was read last.
    pub(crate) fn here(&self) -> Span {
        Span {
            file: Arc::clone(&self.file),
            line: if self.is_parameter {
                0
            } else {
                self.lexer.line()
            },
        }
    }

    pub(crate) fn files(&self) -> &ConfFiles {
        &self.context.files
    }

    /// Adds a warning about `statement`.
    pub(crate) fn warn(&mut self, statement: &Statement, message: impl Into<String>) {
        let warning = Warning::new(message, statement.span.clone());
        self.context.warnings.push(warning);
    }

    pub(crate) fn warn_no_effect(&mut self, statement: &Statement) {
        let name = statement.name();
        self.warn(
            statement,
            format!("the \"{name}\" directive has no effect here"),
        );
    }

    /// Reads statements up to the end of the file.
    pub(crate) fn read_file<B: Block>(&mut self, block: &mut B) -> Result<(), ConfigError> {
        match self.read_statements(block)? {
            Item::BlockEnd => Err(self.error(SyntaxError::Unexpected('}'))),
            _ => Ok(()),
        }
    }

    /// Reads statements up to the `}` of the block.
    pub(crate) fn read_block<B: Block>(&mut self, mut block: B) -> Result<B, ConfigError> {
        match self.read_statements(&mut block)? {
            Item::End => Err(self.error(SyntaxError::UnclosedBlock)),
            _ => Ok(block),
        }
    }

    /// Skips a block up to its `}`. An `include` in it is not followed.
    pub(crate) fn skip_block(&mut self) -> Result<(), ConfigError> {
        let mut open = 1_usize;
        while open > 0 {
            match self.lexer.next().map_err(|error| self.error(error))? {
                Item::Simple(_) => {}
                Item::BlockStart(_) => open += 1,
                Item::BlockEnd => open -= 1,
                Item::End => return Err(self.error(SyntaxError::UnclosedBlock)),
            }
        }
        Ok(())
    }

    fn read_statements<B: Block>(&mut self, block: &mut B) -> Result<Item, ConfigError> {
        loop {
            let item = self.lexer.next().map_err(|error| match error {
                SyntaxError::UnexpectedEnd if self.is_parameter => {
                    self.error(SyntaxError::UnexpectedEndOfParameter)
                }
                error => self.error(error),
            })?;
            let opens_block = matches!(item, Item::BlockStart(_));
            if opens_block && self.is_parameter {
                return Err(self.error(SyntaxError::BlockInParameter));
            }
            match item {
                Item::Simple(words) | Item::BlockStart(words) => {
                    let statement = Statement {
                        words,
                        opens_block,
                        span: self.here(),
                    };
                    let directive = self.find::<B>(&statement)?;
                    directive.check(&statement)?;
                    (directive.read)(block, &statement, self)?;
                }
                Item::BlockEnd | Item::End => return Ok(item),
            }
        }
    }

    fn find<B: Block>(&self, statement: &Statement) -> Result<&'static Directive<B>, ConfigError> {
        let name = statement.name();
        B::directives()
            .chain([Directive::INCLUDE])
            .find(|directive| directive.name == name)
            .or(B::ANY_WORD)
            .ok_or_else(|| statement.error((self.context.misplaced)(name)))
    }

    /// Reads the files of an `include`, as if their text stood in its place.
    fn include<B: Block>(
        &mut self,
        block: &mut B,
        statement: &Statement,
    ) -> Result<(), ConfigError> {
        let at = |error: SyntaxError| statement.error(error);
        for path in self.context.files.find(statement.arg()).map_err(at)? {
            let path: Arc<Path> = path.into();
            let bytes = self.context.files.open(&path).map_err(at)?;
            Reader::new(path, &bytes, self.context).read_file(block)?;
            self.context.files.close();
        }
        Ok(())
    }

    fn error(&self, error: SyntaxError) -> ConfigError {
        ConfigError::new(error, Some(self.here()))
    }
}

impl<B: Block> Directive<B> {
    /// May stand in every block.
    const INCLUDE: &'static Self =
        &Self::simple("include", Args::Exactly(1), |block, statement, reader| {
            reader.include(block, statement)
        });
}
