//! The admission of requests, and the address of the server.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;

use lb_proxy::admin::{AdminListener, AdminSettings, AdminToken};
use socket2::{Domain, SockAddr, Socket, Type};
use test_support::sockets::loopback;
use tokio::task::spawn_blocking;

use super::{AdminScene, OWN, TOKEN, exchange, request, tcp, unix};

#[tokio::test]
async fn over_tcp_no_state_changes_without_the_token() {
    let token = Some(AdminToken::try_new(TOKEN).unwrap());
    for token in [None, token] {
        let scene = AdminScene::new(AdminSettings::tcp(loopback()).token(token.clone())).await;
        let addr = scene.addr();
        let drain = format!("/drain?backend={}", scene.backends[0]);
        let host = format!("host: {addr}\r\n");
        let refused = [
            (host.clone(), if token.is_some() { 401 } else { 403 }),
            (
                format!("{host}{OWN}"),
                if token.is_some() { 401 } else { 403 },
            ),
            (
                format!("{host}authorization: Bearer {TOKEN}0\r\n{OWN}"),
                if token.is_some() { 401 } else { 403 },
            ),
            (
                format!("host: evil.example\r\nauthorization: Bearer {TOKEN}\r\n"),
                421,
            ),
            (
                format!("{host}authorization: Bearer {TOKEN}\r\norigin: http://evil.example\r\n"),
                403,
            ),
        ];
        for (headers, status) in refused {
            let answer = tcp(addr, "POST", &drain, &headers).await;
            assert_eq!(answer.status, status, "{headers} {answer:?}");
        }
        let status = tcp(addr, "GET", "/status.json", &host).await;
        assert_eq!(status.json()["overrides"].as_array().unwrap().len(), 0);
        if token.is_some() {
            let right = format!("{host}authorization: Bearer {TOKEN}\r\n");
            assert_eq!(tcp(addr, "POST", &drain, &right).await.status, 200);
            let by = &tcp(addr, "GET", "/status.json", &host).await.json()["overrides"][0]["by"];
            assert!(by.as_str().unwrap().ends_with("with the token"), "{by}");
        }
        scene.end().await;
    }
}

#[tokio::test]
async fn a_listener_that_other_machines_reach_takes_an_allowed_network() {
    let any: SocketAddr = ([0, 0, 0, 0], 0).into();
    let error = AdminListener::open(&AdminSettings::tcp(any)).unwrap_err();
    assert!(error.to_string().contains("no loopback address"), "{error}");
    let allowed = AdminSettings::tcp(any).allow("10.0.0.0/8".parse().unwrap());
    drop(AdminListener::open(&allowed).unwrap());

    // The file of a process that died is replaced, that of one that listens is not.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let settings = AdminSettings::unix(path.as_path());
    let first = AdminListener::open(&settings).unwrap();
    let second = AdminListener::open(&settings).unwrap_err();
    assert!(second.to_string().contains("cannot listen"), "{second}");
    drop(first);
    assert!(!path.exists());

    // A process that accepts nothing and has a full queue listens, and is not waited for.
    let hangs = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let addr = SockAddr::unix(&path).unwrap();
    hangs.bind(&addr).unwrap();
    hangs.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        if client.connect(&addr).is_err() {
            break;
        }
        waiting.push(client);
    }
    let error = AdminListener::open(&settings).unwrap_err();
    assert!(error.to_string().contains("cannot listen"), "{error}");
    assert!(path.exists());
}

#[tokio::test]
async fn a_new_token_is_applied_even_if_the_group_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("lb.sock"), dir.path().join("moved"));
    let settings = AdminSettings::unix(path.as_path());
    let scene = AdminScene::new(settings.clone()).await;
    // The group of a file that is elsewhere cannot be set.
    std::fs::rename(&path, &moved).unwrap();
    let token = Some(AdminToken::try_new(TOKEN).unwrap());
    let settings = settings.token(token).group(1);
    for _ in 0..2 {
        assert!(scene.admin.update(&settings).is_err());
    }
    let drain = format!("/drain?backend={}", scene.backends[0]);
    let headers = format!("host: x\r\nauthorization: Bearer {TOKEN}\r\n");
    let request = request("POST", &drain, &headers);
    let ask = move || exchange(UnixStream::connect(moved).unwrap(), &request);
    let answer = spawn_blocking(ask).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    scene.end().await;
}

/// The file has its group and permissions when the server begins to listen. As root with groups of others.
#[tokio::test]
async fn the_group_of_a_socket_is_set_and_changed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lb.sock");
    let own = std::fs::metadata(dir.path()).unwrap();
    let groups = match own.uid() {
        0 => [Some(1), Some(2), None],
        _ => [Some(own.gid()), Some(own.gid()), None],
    };
    let settings = |group: Option<u32>| {
        let settings = AdminSettings::unix(path.as_path());
        match group {
            Some(group) => settings.group(group),
            None => settings,
        }
    };
    let scene = AdminScene::new(settings(groups[0])).await;
    for group in groups {
        scene.admin.update(&settings(group)).unwrap();
        let file = std::fs::metadata(&path).unwrap();
        let expected = if group.is_some() { 0o660 } else { 0o600 };
        assert_eq!(file.mode() & 0o777, expected, "{group:?}");
        assert!(group.is_none_or(|group| file.gid() == group), "{group:?}");
        let drain = format!("/undrain?backend={}", scene.backends[0]);
        assert_eq!(unix(&path, "POST", &drain).await.status, 200);
    }
    scene.end().await;
}
