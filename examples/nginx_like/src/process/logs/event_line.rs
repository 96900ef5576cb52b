//! Messages about no session as lines of the error log.

use std::fmt;

use lb_core::Escaped;
use lb_proxy::events::ACCEPT_TARGET;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::logs::level::LogLevel;
use crate::logs::line;
use crate::logs::sink::{ALERT_TARGET, EMERG_TARGET};

/// The level of a message in nginx's scale: tracing has no `notice`, and nothing above `error`.
pub(super) fn severity(message: &Metadata<'_>) -> LogLevel {
    match *message.level() {
        Level::ERROR if message.target() == ALERT_TARGET => LogLevel::Alert,
        Level::ERROR if message.target() == EMERG_TARGET => LogLevel::Emerg,
        Level::ERROR => LogLevel::Error,
        // nginx logs clients that must wait because of a limit as an error.
        Level::WARN if message.target() == ACCEPT_TARGET => LogLevel::Error,
        Level::WARN => LogLevel::Warn,
        Level::INFO => LogLevel::Notice,
        Level::DEBUG | Level::TRACE => LogLevel::Debug,
    }
}

/// Time, level, process, message and fields, all on one line whatever they hold.
pub(super) struct EventFormat {
    message: Format<Full, ()>,
}

impl EventFormat {
    pub(super) fn new() -> Self {
        let message = tracing_subscriber::fmt::format();
        let message = message.without_time().with_level(false);
        Self {
            message: message.with_target(false).with_ansi(false),
        }
    }
}

impl<S, N> FormatEvent<S, N> for EventFormat
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
        let message = message.strip_suffix('\n').unwrap_or(&message);
        line::begin(severity(event.metadata()), &mut line)?;
        writeln!(line, "{}", Escaped(message))
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

    /// The lines that `log` writes, without their times and thread.
    fn lines(log: impl FnOnce()) -> Vec<String> {
        let written = Written::default();
        let to = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(EventFormat::new())
            .with_writer(move || to.clone());
        with_default(subscriber.finish(), log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let message = |line: &str| {
            let (head, message) = line.split_once(": ").unwrap();
            let level = head.split(' ').nth(2).unwrap();
            format!("{level} {message}")
        };
        text.lines().map(message).collect()
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
        assert!(line.contains(r"a\n2026-01-01 ERROR forged"), "{line}");
        assert!(line.contains(&format!("name={SHOWN}")), "{line}");
    }

    #[test]
    fn messages_have_the_levels_of_nginx() {
        let logged = lines(|| {
            warn!(target: ACCEPT_TARGET, pauses = 2, "Accepting paused");
            warn!("Name left out");
            info!("Log reopened");
            tracing::error!(target: ALERT_TARGET, "Log lines lost");
        });
        let expected = [
            "[error] Accepting paused pauses=2",
            "[warn] Name left out",
            "[notice] Log reopened",
            "[alert] Log lines lost",
        ];
        assert_eq!(logged, expected);
    }
}
