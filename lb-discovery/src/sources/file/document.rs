//! The content of a file.

use std::sync::Arc;

use lb_core::Snapshot;
use serde::Deserialize;
use serde_saphyr::UserMessageFormatter;

use crate::sources::file::format::FileFormat;
use crate::union::labelled;

/// Parses `bytes` into a set of backends from the source `label`. Fails with the problem and its line.
pub(crate) fn parse(
    bytes: &[u8],
    format: FileFormat,
    label: &Arc<str>,
) -> Result<Snapshot, Box<str>> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = &bytes[..error.valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("not valid UTF-8 at line {line}")
    })?;
    let document: Document = match format {
        FileFormat::Json => serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let message = error.to_string();
            let place = format!(" at line {line} column {column}");
            let message = message.strip_suffix(&place).unwrap_or(&message);
            format!("{message} at line {line}, column {column}")
        }),
        FileFormat::Yaml => serde_saphyr::from_str(text).map_err(|error| {
            let error = error.without_snippet();
            error.render_with_formatter(&UserMessageFormatter)
        }),
    }?;
    Ok(labelled(document.backends, label))
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    backends: Snapshot,
}

#[cfg(test)]
mod tests;
