//! The files of listeners.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lb_core::{Backend, Endpoint};
use lb_proxy::{Listener, Proxy};
use test_support::log::Capture;
use test_support::nodes::named;
use test_support::proxy::{RunningProxy, reload, upstream};
use tokio::net::UnixStream;

use super::{ask_unix, directory, named_unix, path};

#[tokio::test]
async fn the_file_of_a_listener_is_made_kept_by_a_reload_and_removed() {
    let dir = directory();
    let [one, two] = ["one", "two"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let describe = |paths: &[&PathBuf]| {
        let mut proxy = Proxy::builder();
        for path in paths {
            // What only TCP has is no error.
            let described = Listener::unix(path.as_path(), &upstream).fast_open(Some(5));
            proxy = proxy.listener(described.multipath(true).ipv6_only(true));
        }
        proxy
    };
    let log = Capture::install();
    let proxy = RunningProxy::run(describe(&[&one, &two])).await;
    let mode = std::fs::metadata(&one).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let before = inode(&one);
    let held = UnixStream::connect(&one).await.unwrap();

    let reloaded = reload(&proxy, describe(&[&one])).await.unwrap();
    let endpoint = |path: &Path| Endpoint::Unix(path.into());
    assert_eq!(reloaded.listeners.kept, [endpoint(&one)]);
    assert_eq!(reloaded.listeners.removed, [endpoint(&two)]);
    assert_eq!(inode(&one), before);
    let lines = log.take().join("\n");
    assert!(!lines.contains("not applied"), "{lines}");
    assert!(!two.exists());
    assert_eq!(ask_unix(&one).await.unwrap(), "a");
    drop(held);

    let reloaded = reload(&proxy, describe(&[&one, &two])).await.unwrap();
    assert_eq!(reloaded.listeners.added, [endpoint(&two)]);
    assert_eq!(ask_unix(&two).await.unwrap(), "a");
    proxy.end().await;
    assert!(!one.exists() && !two.exists());
}

#[tokio::test]
async fn a_file_that_another_program_has_made_in_its_place_stays() {
    let dir = directory();
    let [one, two] = ["one", "two"].map(|name| path(&dir, name));
    let upstream = upstream([named_unix(&path(&dir, "back"), "a")]);
    let on = |path: &PathBuf| Listener::unix(path.as_path(), &upstream);
    let both = Proxy::builder().listener(on(&one)).listener(on(&two));
    let proxy = RunningProxy::run(both).await;
    for path in [&one, &two] {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::write(&one, "another").unwrap();
    let _other = std::os::unix::net::UnixListener::bind(&two).unwrap();
    reload(&proxy, Proxy::builder().listener(on(&one)))
        .await
        .unwrap();
    assert!(two.exists());
    proxy.end().await;
    assert_eq!(std::fs::read(&one).unwrap(), b"another");
}

#[tokio::test]
async fn a_file_in_the_way_of_a_listener_is_an_error_and_stays() {
    let dir = directory();
    let stale = path(&dir, "stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    let upstream = upstream([Backend::new(named("a").await)]);
    let proxy = Proxy::builder()
        .listener(Listener::unix(&*stale, &upstream))
        .bind_timeout(std::time::Duration::ZERO);
    let error = proxy.build().unwrap().bind().await.unwrap_err();
    let shown = format!("cannot listen on unix:{}", stale.display());
    assert_eq!(error.to_string(), shown);
    assert!(stale.exists());
}

#[tokio::test]
async fn a_socket_that_the_embedder_opened_is_served_and_its_file_stays() {
    let dir = directory();
    let front = path(&dir, "front");
    let upstream = upstream([Backend::new(named("a").await)]);
    let socket = std::os::unix::net::UnixListener::bind(&front).unwrap();
    let described = Listener::from_unix(socket, &*front, &upstream).unwrap();
    let proxy = RunningProxy::start(described, None).await;
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    let kept = Proxy::builder().listener(Listener::unix(&*front, &upstream));
    let kept = reload(&proxy, kept).await.unwrap();
    assert_eq!(
        kept.listeners.kept,
        [Endpoint::Unix(front.as_path().into())]
    );
    assert_eq!(ask_unix(&front).await.unwrap(), "a");
    proxy.end().await;
    assert!(front.exists());
}
