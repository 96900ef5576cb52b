//! The lines of the access logs.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use lb_proxy::events::{JsonEvents, Progress, Summary};

use super::escape::append;
use crate::config::log_format::{LogFormat, LogPart};
use crate::logs::sink::Sink;
use crate::variables::context::Context;
use crate::variables::id::VariableId;
use crate::variables::value::Value;

/// An access log of a server.
#[derive(Debug)]
pub(super) struct OpenAccessLog {
    pub(super) sink: Arc<Sink>,
    pub(super) format: Arc<LogFormat>,
    pub(super) condition: Option<Value>,
    /// The name of the file, if it has variables.
    pub(super) path: Option<Value>,
    /// Whether sessions that last are logged as well.
    pub(super) has_interim: bool,
}

thread_local! {
    static LINE: RefCell<Vec<u8>> = RefCell::default();
}

impl OpenAccessLog {
    /// The variables that a line may evaluate.
    pub(super) fn variables(&self) -> impl Iterator<Item = VariableId> {
        let values = self.condition.iter().chain(&self.path);
        let variables = values.flat_map(Value::variables);
        variables.chain(self.format.variables())
    }

    /// Writes the line of a session that has ended.
    pub(super) fn write_end(&self, context: &Context<'_>, summary: &Summary<'_>) {
        self.write(context, |line| {
            JsonEvents::append_end(context.connection, summary, line);
        });
    }

    /// Writes the line of a session that lasts, if the log has such lines.
    pub(super) fn write_progress(&self, context: &Context<'_>, progress: &Progress<'_>) {
        if self.has_interim {
            self.write(context, |line| {
                JsonEvents::append_progress(context.connection, progress, line);
            });
        }
    }

    /// Writes a line. `event` appends what lb-proxy writes of the session.
    fn write(&self, context: &Context<'_>, event: impl Fn(&mut Vec<u8>)) {
        if let Some(condition) = &self.condition {
            let value = condition.get(context);
            if value.is_empty() || *value == *b"0" {
                return;
            }
        }
        LINE.with_borrow_mut(|line| {
            line.clear();
            for part in &self.format.parts {
                match part {
                    LogPart::Text(text) => line.extend_from_slice(text.as_bytes()),
                    LogPart::Event => {
                        event(line);
                        // Its line feed.
                        line.pop();
                    }
                    LogPart::Variable(id) => {
                        append(self.format.escape, line, |line| context.variable(*id, line));
                    }
                }
            }
            line.push(b'\n');
            match &self.path {
                Some(path) => {
                    let path = path.get(context);
                    self.sink
                        .push_to(Some(Path::new(OsStr::from_bytes(&path))), line);
                }
                None => self.sink.push(None, line),
            }
        });
    }
}
