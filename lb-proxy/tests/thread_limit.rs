//! The kernel refuses to start the thread of a worker. The limit belongs to the process, so this binary has one test.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::thread;

use lb_core::Backend;
use lb_proxy::errors::BindError;
use lb_proxy::{Proxy, Workers};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use rustix::thread::{Uid, set_thread_res_uid};
use test_support::deadline::eventually;
use test_support::proxy::upstream;
use test_support::sockets::loopback;

const WORKERS: usize = 4;

/// A user without processes of its own, so that the number of its threads is known.
const OTHER_USER: u32 = 0x7777_0446;

#[test]
fn a_worker_that_cannot_be_started_is_an_error_and_leaves_nothing_behind() {
    // The kernel does not limit the superuser. Only the binding thread becomes another user; its threads inherit that.
    let is_root = geteuid().is_root();
    let allowed = if is_root { 0..WORKERS as u64 } else { 0..1 };
    let before = threads();
    for allowed in allowed {
        let binding = thread::spawn(move || bind_with(is_root, allowed));
        let error = binding.join().expect("no panic");
        assert!(matches!(error, BindError::Worker { .. }), "{error}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    runtime.block_on(eventually("the end of the threads", || threads() == before));
}

/// Binds where the user may start `allowed` more threads.
fn bind_with(is_root: bool, allowed: u64) -> BindError {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let unlimited = getrlimit(Resource::Nproc);
    if is_root {
        let user = Uid::from_raw(OTHER_USER + u32::try_from(allowed).unwrap());
        set_thread_res_uid(user, user, user).unwrap();
    }
    let limited = Rlimit {
        current: Some(1 + allowed),
        ..unlimited
    };
    setrlimit(Resource::Nproc, limited).unwrap();
    let bound = runtime.block_on(async {
        let upstream = upstream([Backend::new(loopback())]);
        let proxy = Proxy::builder().listen(loopback(), &upstream);
        let workers = Workers::Threads(WORKERS);
        proxy.workers(workers).build().unwrap().bind().await
    });
    setrlimit(Resource::Nproc, unlimited).unwrap();
    bound.expect_err("a thread too many")
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}
