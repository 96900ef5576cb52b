//! Reads files statement by statement and passes each statement to its directive.
//!
//! Directives take effect in the order of the text, as in nginx, so the first mistake in a file is the one reported, unless
//! the caller asks for all. Only mistakes that concern several blocks are reported after all others.

use std::{borrow::Cow, path::Path, sync::Arc};

use super::{
    directive::{Args, Block, Directive},
    error::{ConfigError, SyntaxError},
    include::ConfFiles,
    lexer::{Item, Lexer},
    listing::Listing,
    names::Names,
    span::{Span, Warning},
    statement::Statement,
    statement_text::StatementText,
};

/// What the readers of all files of a configuration share.
#[derive(Debug)]
pub(crate) struct ReadContext {
    pub(crate) files: ConfFiles,
    pub(crate) warnings: Vec<Warning>,
    /// The names of variables.
    pub(crate) names: Names,
    /// The error of a directive in a block that does not have it, by the directive's name.
    misplaced: fn(&str) -> SyntaxError,
    /// What was read.
    pub(crate) listing: Listing,
    /// A word of a statement as the listing shows it.
    shown: ShownFn,
    /// Whether reading goes on behind a mistake.
    pub(crate) finds_all: bool,
    pub(crate) mistakes: Vec<Mistake>,
}

/// Returns a word of a statement, by its index, without secrets.
type ShownFn = fn(&Statement, usize) -> Cow<'_, str>;

/// A statement that was not read.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The name of its directive.
    pub(crate) name: String,
    pub(crate) error: ConfigError,
}

impl ReadContext {
    pub(crate) fn new(
        files: ConfFiles,
        misplaced: fn(&str) -> SyntaxError,
        shown: ShownFn,
    ) -> Self {
        Self {
            files,
            warnings: Vec::new(),
            names: Names::default(),
            misplaced,
            listing: Listing::default(),
            shown,
            finds_all: false,
            mistakes: Vec::new(),
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
    /// The lines of the blocks that are open at the last item.
    open: Vec<usize>,
    /// The file cannot be split into statements any further.
    is_broken: bool,
    context: &'a mut ReadContext,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Arc<Path>, bytes: &'a [u8], context: &'a mut ReadContext) -> Self {
        Self {
            lexer: Lexer::new(bytes),
            file,
            is_parameter: false,
            open: Vec::new(),
            is_broken: false,
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

    /// The names of variables that were used so far.
    pub(crate) const fn names(&mut self) -> &mut Names {
        &mut self.context.names
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
            Item::BlockEnd => Err(self.broken(SyntaxError::Unexpected('}'))),
            _ => Ok(()),
        }
    }

    /// Reads statements up to the `}` of the block.
    pub(crate) fn read_block<B: Block>(&mut self, mut block: B) -> Result<B, ConfigError> {
        match self.read_statements(&mut block)? {
            Item::End => Err(self.unclosed()),
            _ => Ok(block),
        }
    }

    /// Skips a block up to its `}`. An `include` in it is not followed.
    pub(crate) fn skip_block(&mut self) -> Result<(), ConfigError> {
        self.skip_to(self.open.len().saturating_sub(1))
    }

    /// Skips what is left of blocks until `depth` blocks are open.
    fn skip_to(&mut self, depth: usize) -> Result<(), ConfigError> {
        self.lexer.is_skipping = true;
        while self.open.len() > depth {
            if matches!(self.next()?, Item::End) {
                return Err(self.unclosed());
            }
        }
        self.lexer.is_skipping = false;
        Ok(())
    }

    /// How many mistakes there are so far.
    pub(crate) fn mistakes(&self) -> usize {
        self.context.mistakes.len()
    }

    /// Whether a statement whose name contains `name` was a mistake, behind the first `since` mistakes.
    pub(crate) fn has_mistaken(&self, name: &str, since: usize) -> bool {
        let mistakes = self.context.mistakes.iter().skip(since);
        mistakes
            .into_iter()
            .any(|mistake| mistake.name.contains(name))
    }

    fn next(&mut self) -> Result<Item, ConfigError> {
        let item = self.lexer.next().map_err(|error| match error {
            SyntaxError::UnexpectedEnd if self.is_parameter => {
                self.broken(SyntaxError::UnexpectedEndOfParameter)
            }
            error => self.broken(error),
        })?;
        match item {
            Item::BlockStart(_) => self.open.push(self.lexer.line()),
            Item::BlockEnd => drop(self.open.pop()),
            Item::Simple(_) | Item::End => {}
        }
        Ok(item)
    }

    fn read_statements<B: Block>(&mut self, block: &mut B) -> Result<Item, ConfigError> {
        loop {
            let around = self.open.len();
            let item = self.next()?;
            let opens_block = matches!(item, Item::BlockStart(_));
            if opens_block && self.is_parameter {
                return Err(self.broken(SyntaxError::BlockInParameter));
            }
            match item {
                Item::Simple(words) | Item::BlockStart(words) => {
                    let statement = Statement {
                        words,
                        opens_block,
                        span: self.here(),
                    };
                    let lines = self.lexer.take_lines();
                    self.list(&statement, lines.first());
                    let Err(error) = self.read_statement(block, &statement) else {
                        if opens_block {
                            let number = self.lexer.line();
                            self.context.listing.close(&self.file, number);
                        }
                        continue;
                    };
                    let error = error.with_value(|value| self.concealed(&statement, value));
                    let error = error.in_statement(|| StatementText {
                        words: statement.words.clone(),
                        lines,
                        open_quote: None,
                    });
                    if !self.context.finds_all || self.is_broken {
                        return Err(error);
                    }
                    let name = statement.name().to_owned();
                    self.context.mistakes.push(Mistake { name, error });
                    self.skip_to(around)?;
                }
                Item::BlockEnd | Item::End => return Ok(item),
            }
        }
    }

    /// Adds a statement that begins in the line `begin` to the listing.
    fn list(&mut self, statement: &Statement, begin: Option<&usize>) {
        let number = match (self.is_parameter, begin) {
            (false, Some(begin)) => *begin,
            _ => 0,
        };
        let ReadContext { listing, shown, .. } = self.context;
        match statement.name() {
            "include" if !statement.opens_block => {
                listing.add_include(&self.file, number, statement.arg());
            }
            _ => listing.add(&self.file, number, statement, *shown),
        }
    }

    /// What stands for `value` in a message, if it is of a word that the listing does not show.
    fn concealed(&self, statement: &Statement, value: &str) -> Option<String> {
        let of_word = |index: usize, word: &String| {
            let shown = (self.context.shown)(statement, index);
            (shown != *word && word.contains(value)).then(|| shown.into_owned())
        };
        let words = statement.words.iter().enumerate();
        words.filter_map(|(i, word)| of_word(i, word)).next()
    }

    fn read_statement<B: Block>(
        &mut self,
        block: &mut B,
        statement: &Statement,
    ) -> Result<(), ConfigError> {
        let directive = self.find::<B>(statement)?;
        directive.check(statement)?;
        if directive.is_without_effect {
            self.warn_no_effect(statement);
        }
        (directive.read)(block, statement, self)
    }

    fn find<B: Block>(&self, statement: &Statement) -> Result<&'static Directive<B>, ConfigError> {
        let name = statement.name();
        B::directives()
            .chain([Directive::INCLUDE])
            .find(|directive| directive.name == name)
            .or(B::ANY_WORD)
            .ok_or_else(|| statement.error((self.context.misplaced)(name)))
    }

    /// Reads the files of an `include`, as if their text were in its place.
    fn include<B: Block>(
        &mut self,
        block: &mut B,
        statement: &Statement,
    ) -> Result<(), ConfigError> {
        let at = |error: SyntaxError| statement.error(error);
        for path in self.context.files.find(statement.arg()).map_err(at)? {
            let path: Arc<Path> = path.into();
            let bytes = match self.context.files.open(&path) {
                Ok(bytes) => bytes,
                Err(error) => {
                    // Reading on would read the files of a cycle again at each level.
                    self.is_broken |= error.is_endless();
                    return Err(at(error));
                }
            };
            let read = Reader::new(path, &bytes, self.context).read_file(block);
            self.context.files.close();
            read?;
        }
        Ok(())
    }

    /// The file ends inside of a block.
    fn unclosed(&mut self) -> ConfigError {
        let line = self.open.last().copied().unwrap_or_default();
        self.broken(SyntaxError::UnclosedBlock { line })
    }

    /// A mistake that leaves the rest of the file without meaning.
    fn broken(&mut self, error: SyntaxError) -> ConfigError {
        self.is_broken = true;
        let span = self.here();
        let error = ConfigError::new(error, Some(span.clone()));
        let unfinished = self.lexer.unfinished();
        let error = error.with_value(|begun| {
            // The word that is not finished is the next one.
            let mut words = unfinished.words.clone();
            words.push(begun.to_owned());
            let statement = Statement {
                words,
                opens_block: false,
                span: span.clone(),
            };
            self.concealed(&statement, begun)
        });
        match self.is_parameter {
            true => error,
            false => error.in_statement(|| unfinished),
        }
    }
}

impl<B: Block> Directive<B> {
    /// Allowed in every block.
    const INCLUDE: &'static Self =
        &Self::simple("include", Args::Exactly(1), |block, statement, reader| {
            reader.include(block, statement)
        });
}
