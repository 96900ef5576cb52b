use std::net::Ipv4Addr;

use lb_core::Snapshot;
use lb_discovery::Static;
use tokio::net::{TcpListener, TcpStream};

use super::live::BackendStream;
use super::*;
use crate::limits::Limits;
use crate::limits::session_limit::SessionLimit;
use crate::live_sessions::table::SessionTable;
use crate::relay::BytesAhead;
use crate::session_id::SessionId;
use crate::state::proxy::ProxyState;
use crate::state::shutdown::ShutdownSignals;
use crate::state::trackers::Trackers;
use crate::{Listener, Upstream};

/// What an idle connection costs beside its sockets is this future, its timer included, a task and two registrations with tokio.
#[tokio::test]
async fn a_session_is_small() {
    let upstream = Upstream::builder("test")
        .discovery(Static::new(Snapshot::default()))
        .build()
        .unwrap();
    let addr = (Ipv4Addr::LOCALHOST, 0).into();
    let (limits, route, servers) = Listener::new(addr, &upstream).into_parts();
    let trackers = Arc::new(Trackers::new());
    let proxy = ProxyState::new(
        Arc::new(SessionLimit::with_hysteresis(1)),
        Limits::default(),
        &trackers,
    );
    let state = ListenerState::new(addr, route, servers, limits, &proxy);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let peer = client.peer_addr().unwrap();
    let mut session = Session::new(SessionId::new(1), client.into(), peer, &state);
    let worker = Worker::new(
        0,
        &ShutdownSignals::new(),
        &trackers,
        SessionTable::new(0, 1),
        tokio::runtime::Handle::current(),
    );
    let backend = TcpStream::connect(listener.local_addr().unwrap());
    let backend = Stream::from(backend.await.unwrap());
    let relay = {
        let cut_off = pin!(CutOffWait::new(&worker));
        let timer = pin!(LazyTimer::new(session.accepted_at));
        let relaying = session.relaying(session.accepted_at);
        let watch = CutWatch {
            worker: &worker,
            client: relaying.client,
            backend: BackendStream::Own(backend),
        };
        let cut = pin!(CutOrClosed::new(&watch, cut_off));
        size_of_val(&relaying.relay(&watch.backend, BytesAhead::default(), &worker, timer, cut))
    };
    let size = size_of_val(&session.serve(worker));
    assert!(
        size <= relay + 640 && size <= 1088,
        "{size} bytes, {relay} of them the relay's"
    );
}
