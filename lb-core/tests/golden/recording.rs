//! Reads the recordings of the scripts in this folder.

use lb_core::{AdminState, FailLimit, Priority, Snapshot, Weight};

use crate::support::backend;

/// The lines of a recording as pairs of names and values.
pub(crate) fn records(text: &str) -> impl Iterator<Item = Vec<(&str, &str)>> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| {
            line.split(" | ")
                .map(|field| field.split_once(": ").expect("name: value"))
                .collect()
        })
}

/// Parses `a=5 b=1,down c=1,backup`. The test decides what a server marked `dead` becomes.
pub(crate) fn servers(text: &str, fail_limit: FailLimit) -> (Snapshot, Vec<usize>) {
    let mut dead = Vec::new();
    let snapshot = text.split(' ').enumerate().map(|(i, server)| {
        let mut words = server.split_once('=').unwrap().1.split(',');
        let weight = words.next().unwrap().parse().unwrap();
        let plain = backend(i)
            .weight(Weight::new(weight))
            .fail_limit(Some(fail_limit));
        words.fold(plain, |backend, flag| match flag {
            "backup" => backend.priority(Priority::BACKUP),
            "down" => backend.admin(AdminState::Drain),
            "dead" => {
                dead.push(i);
                backend
            }
            _ => panic!("unknown flag {flag}"),
        })
    });
    (snapshot.collect(), dead)
}

/// The number of a server, by its letter.
pub(crate) fn index(letter: char) -> usize {
    letter as usize - 'a' as usize
}
