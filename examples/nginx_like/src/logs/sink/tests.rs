use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::time::sleep;

use super::super::queue::{CAPACITY, LONGEST};
use super::*;

const LONG: Duration = Duration::from_secs(30);

fn piped() -> (PipeReader, Sink) {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::start(None, OwnedFd::from(writer).into()).unwrap();
    (reader, sink)
}

/// Numbered lines of 100 bytes.
fn line(number: usize) -> String {
    format!("{number:099}\n")
}

#[test]
fn messages_that_nothing_reads_are_kept_up_to_a_limit_and_then_dropped_with_a_count() {
    let (reader, sink) = piped();
    // What the pipe holds, what the thread has taken and what waits: nothing else is kept.
    let sent = 3 * CAPACITY / 100;
    for number in 0..sent {
        sink.push(None, line(number).as_bytes());
    }
    sink.flush(Instant::now());
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let (mut next, mut dropped) = (0, 0);
    while next < sent {
        let read = lines.next().unwrap();
        match read.split_once(": Log messages dropped count=") {
            // The count is that of the gap, at the place of the gap.
            Some((_, count)) => {
                let count: usize = count.parse().unwrap();
                (next, dropped) = (next + count, dropped + count);
            }
            None => {
                assert_eq!(format!("{read}\n"), line(next));
                next += 1;
            }
        }
    }
    assert!(dropped > 0 && sent - dropped >= CAPACITY / 100, "{dropped}");
    sink.push(None, b"later\n");
    assert_eq!(lines.next().unwrap(), "later");
}

#[test]
fn no_message_goes_to_the_file_of_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let [old, new] = ["old", "new"].map(|name| dir.path().join(name));
    let sink = Sink::start(Some(&old), File::create(&old).unwrap()).unwrap();
    let (before, after): (String, String) = (
        (0..5000).map(line).collect(),
        (5000..9000).map(line).collect(),
    );
    for message in before.split_inclusive('\n') {
        sink.push(None, message.as_bytes());
    }
    sink.reopen(Some(File::create(&new).unwrap()));
    for message in after.split_inclusive('\n') {
        sink.push(None, message.as_bytes());
    }
    sink.flush(Instant::now() + LONG);
    assert!(fs::read_to_string(&old).unwrap() == before);
    assert!(fs::read_to_string(&new).unwrap() == after);
}

#[test]
fn files_that_wait_behind_a_reader_that_does_not_read_are_one() {
    let (reader, sink) = piped();
    // More than the pipe holds, so that the thread hangs.
    for _ in 0..4 {
        sink.push(None, &[b'x'; LONGEST]);
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |number: usize| dir.path().join(number.to_string());
    let last = 400;
    for number in 1..=last {
        sink.reopen(Some(File::create(path(number)).unwrap()));
        sink.push(None, line(number).as_bytes());
    }
    // One file is with the thread at most, and one waits.
    let open = fs::read_dir("/proc/self/fd").unwrap();
    let targets = open.filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    let waiting = targets.filter(|target| target.starts_with(dir.path()));
    assert!(waiting.count() <= 2);
    let reading = thread::spawn(|| io::copy(&mut { reader }, &mut io::sink()));
    sink.flush(Instant::now() + LONG);
    drop(sink);
    reading.join().unwrap().unwrap();
    let logged = (1..=last).map(|number| fs::read_to_string(path(number)).unwrap());
    let logged: String = logged.collect();
    assert!(logged == (1..=last).map(line).collect::<String>());
    assert!(
        fs::read_to_string(path(last))
            .unwrap()
            .ends_with(&line(last))
    );
}

#[test]
fn a_flush_waits_for_the_last_message_but_not_for_a_reader_that_does_not_read() {
    let (reader, sink) = piped();
    sink.push(None, b"first\n");
    sink.flush(Instant::now() + LONG);
    for _ in 0..CAPACITY / LONGEST {
        sink.push(None, &[b'x'; LONGEST]);
    }
    let begin = Instant::now();
    sink.flush(begin + Duration::from_millis(20));
    assert!(begin.elapsed() < LONG);
    let mut lines = BufReader::new(reader);
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert_eq!(first, "first\n");
}

#[test]
fn a_pipe_that_does_not_block_gets_every_message() {
    let (reader, writer) = io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    let sink = Sink::start(None, OwnedFd::from(writer).into()).unwrap();
    for number in 0..5000 {
        sink.push(None, line(number).as_bytes());
    }
    drop(sink);
    let lines = BufReader::new(reader).lines().map(Result::unwrap);
    let numbers: Vec<usize> = lines.map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers, Vec::from_iter(0..5000));
}

#[test]
fn a_message_that_is_too_long_is_cut_and_the_next_one_is_written() {
    let (reader, sink) = piped();
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    for length in [LONGEST, LONGEST + 1, CAPACITY + 1] {
        sink.push(None, &[b"x".repeat(length - 1), b"\n".to_vec()].concat());
        let line = lines.next().unwrap();
        let missing = length - LONGEST;
        let expected = match missing {
            0 => "x".repeat(LONGEST - 1),
            _ => format!("{} [{missing} more bytes]", "x".repeat(LONGEST)),
        };
        assert!(line == expected, "{length}: {}", line.len());
        sink.push(None, b"short\n");
        assert_eq!(lines.next().unwrap(), "short");
    }
}

/// An access log that gathers two lines, for ten seconds at most.
fn gathering(path: &Path) -> Sink {
    let buffer = LogBuffer {
        size: 250,
        flush: Some(Duration::from_secs(10)),
        gzip: None,
    };
    Sink::access(path, File::create(path).unwrap(), Some(buffer)).unwrap()
}

/// What the log has written. Lines that wait for more go on waiting.
fn written(sink: &Sink) -> String {
    sink.queue.flush(Instant::now() + LONG);
    fs::read_to_string(sink.path().unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn one_timer_writes_each_chunk_when_its_own_time_comes() {
    let dir = tempfile::tempdir().unwrap();
    let sink = gathering(&dir.path().join("log"));
    let lines = |range: std::ops::Range<usize>| range.map(line).collect::<String>();
    let timers = || Handle::current().metrics().num_alive_tasks();
    for number in 0..1001 {
        sink.push(None, line(number).as_bytes());
    }
    assert_eq!(timers(), 1);
    sleep(Duration::from_secs(6)).await;
    sink.push(None, line(1001).as_bytes());
    // It begins a chunk at 6 s.
    sink.push(None, line(1002).as_bytes());
    sleep(Duration::from_secs(9)).await;
    assert!(written(&sink) == lines(0..1002));
    assert_eq!(timers(), 1);
    sleep(Duration::from_secs(2)).await;
    assert!(written(&sink) == lines(0..1003));
    assert_eq!(timers(), 0);
    sink.push(None, line(1003).as_bytes());
    assert_eq!(timers(), 1);
    sleep(Duration::from_secs(11)).await;
    assert!(written(&sink) == lines(0..1004));
}

#[test]
fn lines_whose_timer_ends_with_its_runtime_are_written_and_the_next_have_another_timer() {
    let dir = tempfile::tempdir().unwrap();
    let sink = gathering(&dir.path().join("log"));
    for number in 0..3 {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async { sink.push(None, line(number).as_bytes()) });
        drop(runtime);
        assert_eq!(written(&sink), (0..=number).map(line).collect::<String>());
    }
    // Without a runtime.
    sink.push(None, line(3).as_bytes());
    assert_eq!(written(&sink), (0..4).map(line).collect::<String>());
}

#[test]
fn a_buffer_larger_than_the_queue_loses_no_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let buffer = LogBuffer {
        size: 2 * CAPACITY,
        flush: None,
        gzip: None,
    };
    let sink = Sink::access(&path, File::create(&path).unwrap(), Some(buffer)).unwrap();
    // The thread need not be quick: the first chunk and these lines wait together.
    let sent = 5 * CAPACITY / 2 / 100;
    for number in 0..sent {
        sink.push(None, line(number).as_bytes());
    }
    let first = written(&sink);
    assert!(first.len() > 2 * CAPACITY - 100, "{}", first.len());
    sink.flush(Instant::now() + LONG);
    assert!(written_at(&path) == (0..sent).map(line).collect::<String>());
}

fn written_at(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A queue whose thread never writes.
fn hanging() -> (Queue, Output) {
    let writer = Writer::Paths(PathCache::new(None));
    let queue = Queue::new(writer, 0, None);
    let output = queue.begin().unwrap();
    (queue, output)
}

#[test]
fn file_names_count_as_bytes_that_wait_and_those_too_long_are_refused() {
    let (queue, output) = hanging();
    let name = format!("/{}", "x".repeat(4000));
    let name = Path::new(&name);
    let mut kept = 0;
    while !queue.push(b"\n", Some(name)).begins_gap {
        kept += 1;
    }
    assert!(kept <= CAPACITY / 4000, "{kept}");
    let (output, batch) = queue.take(output).unwrap();
    assert_eq!((batch.entries.len(), batch.dropped), (kept, 1));
    let long = format!("/{}", "x".repeat(1 << 20));
    let _ = queue.push(b"\n", Some(Path::new(&long)));
    let _ = queue.push(b"\n", Some(name));
    let (_, batch) = queue.take(output).unwrap();
    assert_eq!(
        (batch.entries.len(), batch.dropped, batch.refused),
        (1, 0, 1)
    );
}

#[test]
fn the_error_log_gets_a_report_of_gaps_once_in_a_minute() {
    let (queue, mut output) = hanging();
    let mut reported = 0;
    for _ in 0..3 {
        for _ in 0..CAPACITY / LONGEST + 2 {
            reported += usize::from(queue.push(&[b'x'; LONGEST], None).begins_gap);
        }
        let batch;
        (output, batch) = queue.take(output).unwrap();
        assert_eq!(batch.dropped, 2);
    }
    assert_eq!(reported, 1);
    let begin = Instant::now();
    let at = |seconds| begin + Duration::from_secs(seconds);
    output.lost = 2;
    assert_eq!(output.take_lost(at(0)), Some(2));
    output.lost += 3;
    assert_eq!(output.take_lost(at(59)), None);
    output.lost += 4;
    assert_eq!(output.take_lost(at(60)), Some(7));
    assert_eq!(output.take_lost(at(999)), None);
}
