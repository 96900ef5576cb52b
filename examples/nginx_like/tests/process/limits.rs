//! `worker_priority` and `worker_rlimit_core`.

use std::fs;

use crate::proxy::NginxLike;
use crate::sockets::Reserved;

/// The nice value of a thread: the 17th number behind its name.
fn nice(stat: &str) -> i32 {
    let (_, numbers) = stat.rsplit_once(") ").unwrap();
    numbers.split(' ').nth(16).unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_process_has_the_priority_and_the_core_limit_of_the_configuration() {
    let node = Reserved::any();
    let stream = format!("server {{ listen LISTEN; proxy_pass {}; }}", node.addr);
    let main = "worker_processes 2; worker_priority 5; worker_rlimit_core 0;";
    let proxy = NginxLike::start(main, &stream).await;
    let process = format!("/proc/{}", proxy.id());
    let limits = fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().collect();
    assert_eq!(core[4..6], ["0", "0"]);
    assert_eq!(
        nice(&fs::read_to_string(format!("{process}/stat")).unwrap()),
        5
    );
    let threads = fs::read_dir(format!("{process}/task")).unwrap();
    let stats =
        threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("stat")).ok());
    let nice_threads = stats.filter(|stat| nice(stat) == 5).count();
    assert!(
        nice_threads >= 3,
        "{nice_threads} of the main thread and two workers"
    );
}
