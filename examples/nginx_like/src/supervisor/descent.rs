//! Finds processes, and out whether one descends from this one.

use std::fs;

use rustix::process::{Pid, getpid};

/// How many ancestors are looked at: server, helper, server of the old binary, and some more.
const LONGEST: usize = 16;

/// Whether the process is alive and descends from this one.
pub(super) fn is_descendant(pid: Pid) -> bool {
    let own = getpid();
    let mut at = pid;
    for _ in 0..LONGEST {
        match parent(at) {
            Some(parent) if parent == own => return true,
            Some(parent) => at = parent,
            None => return false,
        }
    }
    false
}

/// The processes of the machine that have one of `arguments` among their arguments and not `unless`.
pub(super) fn processes_with(arguments: &[&str], unless: &str) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let has_argument = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).skip(1).collect();
        let has = |argument: &str| words.contains(&argument.as_bytes());
        arguments.iter().any(|argument| has(argument)) && !has(unless)
    };
    pids.filter(has_argument)
        .filter_map(Pid::from_raw)
        .collect()
}

/// The parent of a process that has not ended.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc_pid_stat(5): the name, in parentheses, may have parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let is_over = matches!(fields.next()?, "Z" | "X" | "x");
    let parent = fields.next()?.parse().ok()?;
    Pid::from_raw(parent).filter(|_| !is_over)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_descends_from_its_parent_until_it_ends() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        assert!(is_descendant(pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_descendant(pid));
        assert!(!is_descendant(getpid()));
        assert!(!is_descendant(Pid::INIT));
    }
}
