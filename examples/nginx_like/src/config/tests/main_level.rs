//! The main level and its logs.

use std::path::PathBuf;

use super::{parse, secs};
use crate::config::error_log::{LogLevel, LogTarget};
use crate::config::main::WorkerProcesses;
use crate::config::server::Server;
use crate::config::shutdown::ShutdownSettings;

#[test]
fn an_empty_file_has_the_defaults() {
    let config = parse("").unwrap();
    assert_eq!(config.user, None);
    assert_eq!(
        config.worker_processes,
        WorkerProcesses::Count(1.try_into().unwrap())
    );
    assert_eq!(config.worker_rlimit_nofile, None);
    assert_eq!(config.error_logs, []);
    assert_eq!(config.pid.path, std::path::Path::new("logs/nginx.pid"));
    assert!(config.pid.is_default && !config.daemon);
    assert_eq!(config.lb_upgrade_timeout, secs(60));
    assert_eq!(config.worker_connections.get(), 512);
    assert!(config.stream.is_none());
    assert_eq!(config.warnings, []);
}

#[test]
fn a_shutdown_time_out_of_0_is_none() {
    for (time, limit) in [("0", None), ("0s", None), ("90", Some(secs(90)))] {
        let config = parse(&format!("worker_shutdown_timeout {time};")).unwrap();
        assert_eq!(config.worker_shutdown_timeout, limit, "{time}");
    }
}

#[test]
fn directives_of_the_main_level() {
    let config = parse(
        "user web www; worker_processes 4; worker_rlimit_nofile 0; daemon OFF;
         lb_upgrade_timeout 1500ms; events { worker_connections 10; }",
    )
    .unwrap();
    let user = config.user.unwrap();
    assert_eq!(
        (user.name.as_str(), user.group.as_deref()),
        ("web", Some("www"))
    );
    assert_eq!(
        config.worker_processes,
        WorkerProcesses::Count(4.try_into().unwrap())
    );
    assert_eq!(config.worker_rlimit_nofile, Some(0));
    assert_eq!(
        (config.worker_priority, config.worker_rlimit_core),
        (None, None)
    );
    assert!(!config.daemon);
    assert_eq!(config.lb_upgrade_timeout.as_millis(), 1500);
    assert_eq!(config.worker_connections.get(), 10);

    let config = parse("worker_priority -5; worker_rlimit_core 500m;").unwrap();
    assert_eq!(config.worker_priority, Some(-5));
    assert_eq!(config.worker_rlimit_core, Some(500 << 20));

    let config = parse("worker_priority +5; worker_rlimit_core 2g;").unwrap();
    assert_eq!(config.worker_priority, Some(5));
    assert_eq!(config.worker_rlimit_core, Some(2 << 30));

    let config = parse("user web; worker_processes auto;").unwrap();
    assert_eq!(config.user.unwrap().group, None);
    assert_eq!(config.worker_processes, WorkerProcesses::Auto);
}

#[test]
fn debug_levels_of_one_kind_mean_debug() {
    for levels in ["debug_stream", "debug_core debug_event"] {
        let config = parse(&format!("error_log a {levels};")).unwrap();
        assert_eq!(config.error_logs[0].level, LogLevel::Debug, "{levels}");
    }
}

#[test]
fn what_a_shutdown_waits_for() {
    let shutdown = |text: &str| parse(text).unwrap().shutdown;
    assert_eq!(shutdown(""), ShutdownSettings::default());
    let set = shutdown(
        "lb_withdraw_timeout 1h; lb_withdraw_delay 500ms; lb_close_spread 2m;
         lb_withdraw_command birdc disable 'a $b; c';",
    );
    assert_eq!(set.withdraw_delay.as_millis(), 500);
    assert_eq!(set.close_spread, secs(120));
    let command = set.withdraw_command.unwrap();
    assert_eq!(command.program, PathBuf::from("birdc"));
    assert_eq!(command.arguments, ["disable", "a $b; c"]);
    assert_eq!(command.timeout, secs(3600));
    // A path is below the prefix, as those of all other files are.
    for (name, path) in [("/bin/a", "/bin/a"), ("bin/a", "bin/a"), ("./a", "./a")] {
        let command = shutdown(&format!("lb_withdraw_command {name};")).withdraw_command;
        let command = command.unwrap();
        assert_eq!(command.program, PathBuf::from(path));
        assert_eq!((command.arguments, command.timeout), (vec![], secs(10)));
    }
}

#[test]
fn targets_and_levels_of_logs() {
    let config = parse("error_log stderr;\nerror_log a debug;\nerror_log /b emerg;").unwrap();
    let logs: Vec<_> = config
        .error_logs
        .into_iter()
        .map(|log| (log.target, log.level))
        .collect();
    let file = |name: &str| LogTarget::File(PathBuf::from(name));
    assert_eq!(
        logs,
        [
            (LogTarget::Stderr, LogLevel::Error),
            (file("a"), LogLevel::Debug),
            (file("/b"), LogLevel::Emerg),
        ]
    );
    assert!(LogLevel::Debug < LogLevel::Error && LogLevel::Error < LogLevel::Emerg);
}

#[test]
fn error_logs_of_the_nearest_level_count() {
    let config = parse(
        "error_log main; stream {
             server { listen 1; proxy_pass a:1; }
             server { listen 2; proxy_pass a:1; error_log server; error_log stderr; }
         }",
    )
    .unwrap();
    let lines = |server: &Server| -> Vec<_> {
        server
            .settings
            .error_logs
            .iter()
            .map(|log| log.span.line)
            .collect()
    };
    let servers = config.stream.unwrap().servers;
    assert_eq!(lines(&servers[0]), [1]);
    assert_eq!(lines(&servers[1]), [3, 3]);

    let config = parse(
        "error_log main;
         stream { error_log stream; server { listen 1; proxy_pass a:1; } }",
    )
    .unwrap();
    assert_eq!(config.error_logs.len(), 1);
    assert_eq!(lines(&config.stream.unwrap().servers[0]), [2]);
}
