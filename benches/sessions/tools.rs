//! The programs that count, and what they write.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// A program that runs a proxy and counts what it does.
pub(super) struct Tool {
    /// The command line in front of the proxy's, in which `FILE` is where the tool writes.
    command: &'static str,
    /// The counts in what it has written. Empty until that is complete.
    read: fn(&str) -> Counts,
}

type Counts = Vec<(String, f64)>;

pub(super) const TOOLS: [Tool; 4] = [
    Tool {
        command: "valgrind --tool=callgrind --callgrind-out-file=FILE",
        read: |text| instructions(text, "instructions in user space"),
    },
    Tool {
        command: "valgrind --tool=callgrind --callgrind-out-file=FILE --toggle-collect=*::Context::run_task*",
        read: |text| instructions(text, "of them in tokio's tasks"),
    },
    Tool {
        command: "valgrind --tool=memcheck --leak-check=no --undef-value-errors=no --log-file=FILE",
        read: allocations,
    },
    // The proxy is the child, and strace(1) a process beside it.
    Tool {
        command: "strace -D -f -c -o FILE",
        read: system_calls,
    },
];

impl Tool {
    pub(super) fn is_installed(&self) -> bool {
        let program = self.command.split(' ').next().unwrap_or_default();
        Command::new(program).arg("--version").output().is_ok()
    }

    /// Its command line, when it writes to `file`.
    pub(super) fn words(&self, file: &Path) -> Vec<OsString> {
        let words = self.command.split(' ');
        let words = words.map(|word| word.replace("FILE", &file.display().to_string()).into());
        words.collect()
    }

    pub(super) fn is_complete(&self, text: &str) -> bool {
        !(self.read)(text).is_empty()
    }

    /// The counts of one session, from those of `sessions` and of twice as many.
    pub(super) fn each(&self, few: &str, many: &str, sessions: u32) -> Counts {
        let few = (self.read)(few);
        let each = (self.read)(many).into_iter().map(|(name, count)| {
            let before = few.iter().find(|(known, _)| *known == name);
            let before = before.map_or(0.0, |(_, count)| *count);
            (name, (count - before) / f64::from(sessions))
        });
        // Less is what the process does once a second.
        each.filter(|(_, each)| *each >= 0.05).collect()
    }
}

fn instructions(text: &str, name: &str) -> Counts {
    let total = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let total = total.and_then(|total| total.trim().parse().ok());
    let named = |count| (name.to_owned(), count);
    total.map(named).into_iter().collect()
}

/// Of a line such as `total heap usage: 1,234 allocs, 1,230 frees, 56,789 bytes allocated`.
fn allocations(text: &str) -> Counts {
    let usage = text.lines().find(|line| line.contains("total heap usage"));
    let words = usage.map(|line| line.replace(',', "")).unwrap_or_default();
    let numbers = words
        .split_whitespace()
        .filter_map(|word| word.parse().ok());
    let names = ["allocations", "frees", "bytes allocated"].map(str::to_owned);
    names.into_iter().zip(numbers).collect()
}

/// Of a table with the columns share, seconds, microseconds a call, calls, errors if there are some, name.
fn system_calls(text: &str) -> Counts {
    let rows = text.lines().map(str::split_whitespace);
    let rows = rows.filter_map(|mut row| Some((row.nth(3)?.parse().ok()?, row.last()?)));
    let rows: Vec<(f64, _)> = rows.collect();
    if rows.last().is_none_or(|(_, name)| *name != "total") {
        return Counts::new();
    }
    let named = |&(calls, name): &(f64, &str)| match name {
        "total" => ("system calls".to_owned(), calls),
        name => (format!("{name}(2)"), calls),
    };
    rows.iter().map(named).collect()
}
