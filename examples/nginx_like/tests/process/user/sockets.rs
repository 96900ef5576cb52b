//! Sockets that need the superuser: files of unix domain sockets, and source addresses of other machines.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::process::Signal;
use test_support::namespaces::Namespaces;
use tokio::task::spawn_blocking;

use super::{USER, field, is_root, node, shared_dir, uid};
use crate::proxy::NginxLike;
use crate::sockets::{Reserved, ask_unix, within};

/// The directory belongs to the superuser, as `/run` does.
#[tokio::test]
async fn the_helper_opens_and_removes_unix_domain_sockets() {
    if !is_root() {
        return;
    }
    let (node, stream) = node().await;
    let dir = shared_dir();
    let [one, two] = ["one", "two"].map(|name| dir.path().join(name));
    let with = |path: &Path| {
        let (path, to) = (path.display(), node.addr);
        format!("{stream} server {{ listen unix:{path}; proxy_pass {to}; }}")
    };
    let main = format!("user {USER}; worker_processes 2;");
    let proxy = NginxLike::start(&main, &with(&one)).await;
    proxy.logged("unix:").await;
    let made = fs::metadata(&one).unwrap();
    assert!(made.file_type().is_socket() && made.uid() == 0);
    assert_eq!(made.permissions().mode() & 0o777, 0o666);
    assert_eq!(ask_unix(&one).await.unwrap(), "node");

    proxy.reload(&main, &with(&two)).await;
    assert!(!one.exists());
    assert_eq!(ask_unix(&two).await.unwrap(), "node");
    // The path is free again.
    proxy.reload(&main, &with(&one)).await;
    assert_eq!(ask_unix(&one).await.unwrap(), "node");
    // A file in the way changes nothing.
    fs::write(&two, "").unwrap();
    let both = format!("{} {}", with(&one), with(&two).replace(&stream, ""));
    proxy.configure(&main, &both);
    proxy.signal(Signal::HUP);
    proxy.logged("failed (98: Address already in use)").await;
    assert_eq!(ask_unix(&one).await.unwrap(), "node");
    proxy.signal(Signal::QUIT);
    proxy.exit().await;
    assert!(!one.exists() && two.exists());
}

/// `CAP_NET_BIND_SERVICE` and `CAP_NET_RAW`, as the kernel shows them.
const BIND_AND_RAW: &str = "0000000000002400";

/// An address that no machine has.
const FOREIGN: &str = "198.51.100.7";

#[tokio::test]
async fn a_transparent_source_works_after_the_switch_to_the_user() {
    if !is_root() {
        return;
    }
    let namespaces = Namespaces::create().and_then(|namespaces| {
        namespaces.route_to_first(FOREIGN)?;
        Ok(namespaces)
    });
    let namespaces = match namespaces {
        Ok(namespaces) => namespaces,
        Err(missing) => return eprintln!("skipped: {missing}"),
    };
    let backend = SocketAddr::from(([192, 0, 2, 2], 0));
    let backend = namespaces.inside(1, || TcpListener::bind(backend).unwrap());
    let to = backend.local_addr().unwrap();
    let command = namespaces.command(0, env!("CARGO_BIN_EXE_nginx_like"));
    let stream = format!(
        "server {{ listen LISTEN; proxy_pass {to}; proxy_bind {FOREIGN}:5446 transparent; }}"
    );
    let main = format!("user {USER};");
    let proxy = NginxLike::start_by(command.into(), Reserved::any(), &main, &stream).await;
    let addr = proxy.addr;
    let client = namespaces.inside(0, || TcpStream::connect(addr).unwrap());
    let accepted = spawn_blocking(move || backend.accept().unwrap());
    let (_server, peer) = within("the backend", accepted).await.unwrap();
    assert_eq!(peer, format!("{FOREIGN}:5446").parse().unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.id())).unwrap();
    assert_eq!(field(&status, "Uid:")[0], uid().to_string());
    assert_eq!(field(&status, "CapEff:"), [BIND_AND_RAW]);
    drop(client);
}
