//! Reads files statement by statement and gives each directive to its handler.
//!
//! Directives take effect in the order of the text, as in nginx, so the first mistake in a file is the one reported.
//! Only a mistake that shows when blocks are put together comes after all others.

use std::{path::Path, sync::Arc};

use super::{
    directive::{Args, Directive, Line, Scope},
    error::{ConfigError, ErrorKind, Span, Warning, WarningKind},
    include::Files,
    lexer::{Item, Lexer},
};
use crate::config::{blocks as scope, unsupported};

/// The state that all files of a configuration share.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) files: Files,
    pub(crate) warnings: Vec<Warning>,
}

impl Session {
    pub(crate) const fn new(files: Files) -> Self {
        Self {
            files,
            warnings: Vec::new(),
        }
    }
}

/// Reads one file.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    lexer: Lexer<'a>,
    file: Arc<Path>,
    session: &'a mut Session,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(file: Arc<Path>, bytes: &'a [u8], session: &'a mut Session) -> Self {
        Self {
            lexer: Lexer::new(bytes),
            file,
            session,
        }
    }

    /// Returns the line of the statement that was read last.
    pub(crate) fn here(&self) -> Span {
        Span {
            file: Arc::clone(&self.file),
            line: self.lexer.line(),
        }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.session.files
    }

    pub(crate) fn warn(&mut self, kind: WarningKind, span: Span) {
        self.session.warnings.push(Warning { kind, span });
    }

    pub(crate) fn warn_no_effect(&mut self, line: &Line) {
        let name = line.name().to_owned();
        self.warn(WarningKind::NoEffect { name }, line.span.clone());
    }

    /// Reads statements up to the end of the file.
    pub(crate) fn read_file<S: Scope>(&mut self, scope: &mut S) -> Result<(), ConfigError> {
        match self.read_statements(scope)? {
            Item::BlockEnd => Err(self.error(ErrorKind::Unexpected('}'))),
            _ => Ok(()),
        }
    }

    /// Reads statements up to the `}` of the block.
    pub(crate) fn read_block<S: Scope>(&mut self, mut scope: S) -> Result<S, ConfigError> {
        match self.read_statements(&mut scope)? {
            Item::End => Err(self.error(ErrorKind::UnclosedBlock)),
            _ => Ok(scope),
        }
    }

    fn read_statements<S: Scope>(&mut self, scope: &mut S) -> Result<Item, ConfigError> {
        loop {
            let item = self.lexer.next().map_err(|kind| self.error(kind))?;
            let opens_block = matches!(item, Item::BlockStart(_));
            match item {
                Item::Simple(words) | Item::BlockStart(words) => {
                    let span = self.here();
                    let line = Line {
                        words,
                        opens_block,
                        span,
                    };
                    let directive = find::<S>(line.name()).ok_or_else(|| misplaced(&line))?;
                    directive.check(&line)?;
                    (directive.set)(scope, &line, self)?;
                }
                Item::BlockEnd | Item::End => return Ok(item),
            }
        }
    }

    /// Reads the files that an `include` asks for, as if their text stood in its place.
    fn include<S: Scope>(&mut self, scope: &mut S, line: &Line) -> Result<(), ConfigError> {
        let at = |kind| line.error(kind);
        for path in self.session.files.find(line.arg()).map_err(at)? {
            let path: Arc<Path> = path.into();
            let bytes = self.session.files.open(&path).map_err(at)?;
            Reader::new(path, &bytes, self.session).read_file(scope)?;
            self.session.files.close();
        }
        Ok(())
    }

    fn error(&self, kind: ErrorKind) -> ConfigError {
        ConfigError::new(kind, Some(self.here()))
    }
}

impl<S: Scope> Directive<S> {
    const EVERYWHERE: &'static [Self] = &[Self::simple(
        "include",
        Args::Exactly(1),
        |scope, line, reader| reader.include(scope, line),
    )];
}

fn find<S: Scope>(name: &str) -> Option<&'static Directive<S>> {
    let tables = S::DIRECTIVES.iter().copied();
    tables
        .chain([Directive::EVERYWHERE])
        .flatten()
        .find(|directive| directive.name == name)
        .or(S::OTHERWISE)
}

/// Says why a directive does not belong where it stands.
fn misplaced(line: &Line) -> ConfigError {
    let name = line.name().to_owned();
    line.error(if scope::is_known(&name) {
        ErrorKind::NotAllowedHere { name }
    } else if name == "http" {
        ErrorKind::HttpBlock
    } else if unsupported::is_known(&name) {
        ErrorKind::NotSupported { name }
    } else {
        ErrorKind::UnknownDirective { name }
    })
}
