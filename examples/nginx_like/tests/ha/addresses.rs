//! The times in which a machine holds an address.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use test_support::namespace::Namespace;

/// From when to when; without an end it holds it still.
type Period = (Instant, Option<Instant>);

/// Watches an address on one machine.
#[derive(Debug)]
pub(crate) struct Holder {
    monitor: Child,
    periods: Arc<Mutex<Vec<Period>>>,
}

impl Holder {
    pub(crate) fn watch(machine: &Namespace, address: &str) -> Self {
        let mut command = machine.command("ip");
        command.args(["-4", "-o", "monitor", "address"]);
        let mut monitor = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(monitor.stdout.take().unwrap()).lines();
        let periods = Arc::<Mutex<Vec<Period>>>::default();
        let (list, of_address) = (Arc::clone(&periods), format!(" inet {address}/"));
        std::thread::spawn(move || {
            for line in lines
                .map_while(Result::ok)
                .filter(|line| line.contains(&of_address))
            {
                let now = Instant::now();
                let mut periods = list.lock().unwrap();
                match periods.last_mut() {
                    Some((_, end @ None)) if line.starts_with("Deleted") => *end = Some(now),
                    Some((_, None)) => (),
                    _ if line.starts_with("Deleted") => (),
                    _ => periods.push((now, None)),
                }
            }
        });
        Self { monitor, periods }
    }

    /// Whether the machine holds the address now.
    pub(crate) fn holds(&self) -> bool {
        let periods = self.periods.lock().unwrap();
        periods.last().is_some_and(|(_, end)| end.is_none())
    }

    /// How often the machine has got the address.
    pub(crate) fn times(&self) -> usize {
        self.periods.lock().unwrap().len()
    }

    /// The time since `since` in which this machine and `other` held the address.
    pub(crate) fn together(&self, other: &Self, since: Instant) -> Duration {
        let now = Instant::now();
        let both = (self.periods.lock().unwrap(), other.periods.lock().unwrap());
        let pairs = both
            .0
            .iter()
            .flat_map(|a| both.1.iter().map(move |b| (a, b)));
        pairs
            .map(|(a, b)| {
                let end = a.1.unwrap_or(now).min(b.1.unwrap_or(now));
                end.saturating_duration_since(a.0.max(b.0).max(since))
            })
            .sum()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.monitor.kill();
        let _ = self.monitor.wait();
    }
}
