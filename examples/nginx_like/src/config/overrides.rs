//! Additions of the command line to a configuration: `-g`, `-e` and the name of the program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error_log::{ErrorLog, LogLevel, LogTarget};
use super::main::MainBlock;
use crate::syntax::error::ConfigError;
use crate::syntax::reader::{ReadContext, Reader};
use crate::syntax::span::Span;

/// The place that messages about `-g` and `-e` name.
const PLACE: &str = "command line";

/// What the command line adds to the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `-g`: directives of the main level, read before the file.
    pub(crate) directives: String,
    /// `-e`: the log of a configuration without `error_log` on its main level.
    pub(crate) error_log: Option<String>,
    /// The `pid` of a configuration without it, where the configuration is that of the system.
    pub(crate) default_pid: Option<PathBuf>,
    /// The `daemon` of a configuration without it: on for a program that is called `nginx`.
    pub(crate) default_daemon: bool,
}

impl Overrides {
    /// Reads the directives into `main`.
    pub(crate) fn read_directives(
        &self,
        main: &mut MainBlock,
        context: &mut ReadContext,
    ) -> Result<(), ConfigError> {
        let bytes = self.directives.as_bytes();
        Reader::of_parameter(place(), bytes, context).read_file(main)
    }

    /// Adds the `daemon` of a configuration without it.
    pub(crate) fn add_daemon(&self, main: &mut MainBlock) {
        main.daemon.get_or_insert(self.default_daemon);
    }

    /// Adds the log that `-e` names if `main` has none.
    pub(crate) fn add_error_log(&self, main: &mut MainBlock, context: &ReadContext) {
        let Some(name) = self
            .error_log
            .as_deref()
            .filter(|_| main.error_logs.is_empty())
        else {
            return;
        };
        main.error_logs.push(ErrorLog {
            target: LogTarget::of(name, &context.files),
            level: LogLevel::Error,
            span: Span {
                file: place(),
                line: 0,
            },
        });
    }
}

fn place() -> Arc<Path> {
    Path::new(PLACE).into()
}
