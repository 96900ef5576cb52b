//! The format of a log line.

use std::fmt;

use lb_core::Escaped;
use lb_proxy::events::FAILURES_TARGET;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The severity that nginx has for a message: it logs every client that is not served at `error`.
pub(super) fn severity(message: &Metadata<'_>) -> Level {
    match *message.level() {
        Level::WARN if message.target() == FAILURES_TARGET => Level::ERROR,
        level => level,
    }
}

/// Time, severity, message and fields, all on one line whatever they hold.
pub(super) struct LineFormat {
    message: Format<Full, ()>,
}

impl LineFormat {
    pub(super) fn new() -> Self {
        let message = tracing_subscriber::fmt::format();
        let message = message.without_time().with_level(false);
        Self {
            message: message.with_target(false).with_ansi(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut message = String::new();
        let to = Writer::new(&mut message);
        self.message.format_event(context, to, event)?;
        SystemTime.format_time(&mut line)?;
        let message = message.strip_suffix('\n').unwrap_or(&message);
        let severity = severity(event.metadata());
        writeln!(line, " {severity:>5} {}", Escaped(message))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing::{info, info_span, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` writes, without their times.
    fn lines(log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(LineFormat::new())
            .with_writer(move || to.clone());
        with_default(subscriber.finish(), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| line.split_once(' ').unwrap().1.to_owned();
        text.lines().map(without_time).collect()
    }

    const FORGED: &str = "a\n2026-01-01 ERROR forged\u{1b}[2J\r\u{9b}\u{202e}";
    const SHOWN: &str = r"a\n2026-01-01 ERROR forged\u{1b}[2J\r\u{9b}\u{202e}";

    #[test]
    fn no_part_of_a_message_makes_a_line_or_controls_a_terminal() {
        let logged = lines(|| {
            let _span = info_span!("outer", name = %FORGED).entered();
            info!(display = %FORGED, debug = ?FORGED, text = FORGED, "{FORGED}");
        });
        assert_eq!(logged.len(), 1, "{logged:?}");
        let line = &logged[0];
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'));
        assert!(line.contains(&format!("display={SHOWN}")), "{line}");
        assert!(line.contains(r": a\n2026-01-01 ERROR forged"), "{line}");
        assert!(line.contains(&format!("name={SHOWN}")), "{line}");
    }

    #[test]
    fn failures_of_clients_are_errors_and_other_warnings_are_not() {
        let logged = lines(|| {
            warn!(target: FAILURES_TARGET, clients = 2, "Clients refused");
            warn!("Log reopened");
        });
        assert_eq!(
            logged,
            ["ERROR Clients refused clients=2", " WARN Log reopened"]
        );
    }
}
