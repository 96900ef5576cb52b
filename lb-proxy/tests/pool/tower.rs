//! Pools and connections as `tower` services, also under hyper's client.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lb_core::policy::{Rendezvous, WeightedRoundRobin};
use lb_core::{Backend, Snapshot};
use lb_discovery::Manual;
use lb_proxy::tower::{CallError, RequestOutcome};
use lb_proxy::{Pool, Upstream};
use test_support::deadline::{eventually, within};
use test_support::fuse::Fuse;
use test_support::nodes::named;
use test_support::proxy::in_flight;
use test_support::sockets::{loopback, refusing};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tower::util::BoxCloneService;
use tower::{Service, ServiceExt, service_fn};

/// An HTTP server that answers each request with `name` and `status`.
async fn http_server(name: &'static str, status: StatusCode) -> SocketAddr {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = hyper::service::service_fn(move |_| {
                let answer = Response::builder().status(status);
                ready(answer.body(Full::new(Bytes::from_static(name.as_bytes()))))
            });
            let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            tokio::spawn(serving);
        }
    });
    addr
}

fn pool(backends: impl IntoIterator<Item = SocketAddr>) -> Pool {
    let upstream = Upstream::builder("http").policy(WeightedRoundRobin::new());
    let upstream = upstream.fixed(&Snapshot::from_addrs(backends)).unwrap();
    upstream.spawn().unwrap()
}

type Body = Empty<Bytes>;

/// `uri` at `backend`.
fn at(uri: &Uri, backend: &Backend) -> Uri {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let uri = format!("http://{}{path}", backend.addr);
    uri.parse().unwrap()
}

/// Requests of hyper's client over `pool`.
fn http_client(
    pool: &Pool,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = CallError, Future: Send>
+ Clone
+ use<> {
    http_client_with_retry(pool, |_| false)
}

/// The same, with a retry after the errors that `retry` accepts.
fn http_client_with_retry(
    pool: &Pool,
    retry: fn(&legacy::Error) -> bool,
) -> impl Service<Request<Body>, Response = Response<Incoming>, Error = CallError, Future: Send>
+ Clone
+ use<> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let make = service_fn(move |backend: Arc<Backend>| {
        let client = client.clone();
        let direct = move |mut request: Request<Body>| {
            *request.uri_mut() = at(request.uri(), &backend);
            client.request(request)
        };
        ready(Ok::<_, Infallible>(service_fn(direct)))
    });
    let balanced = pool.balance(make).retry(retry);
    balanced.classify(|result| match result {
        Ok(response) if response.status().is_server_error() => RequestOutcome::Failed,
        Ok(_) => RequestOutcome::Served,
        Err(_) => RequestOutcome::Failed,
    })
}

async fn get(
    service: impl Service<Request<Body>, Response = Response<Incoming>, Error = CallError>,
) -> Result<String, CallError> {
    let request = Request::get("http://any/").body(Body::new()).unwrap();
    let response = within("the response", service.oneshot(request)).await?;
    let body = response.into_body().collect().await.unwrap().to_bytes();
    Ok(String::from_utf8(body.to_vec()).unwrap())
}

fn ejected(pool: &Pool) -> Vec<bool> {
    let status = pool.status();
    let ejected = status
        .backends()
        .map(|backend| backend.ejected_until.is_some());
    ejected.collect()
}

#[tokio::test]
async fn requests_of_hypers_client_are_balanced_one_by_one() {
    let a = http_server("a", StatusCode::OK).await;
    let b = http_server("b", StatusCode::OK).await;
    let client = http_client(&pool([a, b]));
    let mut answers = String::new();
    for _ in 0..6 {
        answers += &get(client.clone()).await.unwrap();
    }
    assert_eq!(answers, "ababab");
}

#[tokio::test]
async fn errors_of_the_backend_and_refused_connections_count_against_it() {
    let (_held, dead) = refusing();
    let broken = http_server("broken", StatusCode::BAD_GATEWAY).await;
    let good = http_server("good", StatusCode::OK).await;
    let pool = pool([dead, broken, good]);
    let client = http_client(&pool);
    let error = get(client.clone()).await.unwrap_err();
    assert!(matches!(error, CallError::Service(_)), "{error}");
    assert_eq!(get(client.clone()).await.unwrap(), "broken");
    for _ in 0..3 {
        assert_eq!(get(client.clone()).await.unwrap(), "good");
    }
    assert_eq!(ejected(&pool), [true, true, false]);
    let status = pool.status();
    let good = status.backends().nth(2).unwrap();
    assert!(good.connect_time.is_some(), "{good:?}");
}

#[tokio::test]
async fn a_request_that_no_backend_got_is_sent_to_another_one() {
    let (_held, dead) = refusing();
    let works = http_server("works", StatusCode::OK).await;
    let both = pool([dead, works]);
    let client = http_client_with_retry(&both, legacy::Error::is_connect);
    for _ in 0..4 {
        assert_eq!(get(client.clone()).await.unwrap(), "works");
    }
    assert_eq!(ejected(&both), [true, false]);
    assert_eq!(in_flight(both.upstream()), 0);

    // No backend is tried twice, and the last error is the source.
    let (_another_held, another_dead) = refusing();
    let none = pool([dead, another_dead]);
    let client = http_client_with_retry(&none, legacy::Error::is_connect);
    let error = get(client).await.unwrap_err();
    let CallError::NoBackend { source, .. } = error else {
        panic!("{error}");
    };
    let source = source.unwrap().downcast::<legacy::Error>().unwrap();
    assert!(source.is_connect(), "{source}");
    assert_eq!(ejected(&none), [true, true]);
}

#[tokio::test]
async fn a_request_that_a_backend_got_is_not_repeated() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let closes = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let _ = client.read_u8().await;
        }
    });
    let pool = pool([closes, http_server("works", StatusCode::OK).await]);
    let client = http_client_with_retry(&pool, legacy::Error::is_connect);
    let error = get(client.clone()).await.unwrap_err();
    assert!(matches!(error, CallError::Service(_)), "{error}");
    assert_eq!(get(client).await.unwrap(), "works");
}

#[tokio::test]
async fn a_backend_without_a_service_is_passed_over_and_counts_as_failed() {
    let addrs = [1, 2, 3].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let pool = pool(addrs);
    let make = service_fn(|backend: Arc<Backend>| {
        let made = match backend.addr.port() {
            3 => Ok(service_fn(move |()| ready(Ok::<_, Infallible>(3)))),
            port => Err(io::Error::other(format!("no service at {port}"))),
        };
        ready(made)
    });
    let balanced = pool.balance(make);
    assert_eq!(balanced.clone().oneshot(()).await.unwrap(), 3);
    assert_eq!(ejected(&pool), [true, true, false]);

    let none = pool.balance(service_fn(|_: Arc<Backend>| {
        type None = BoxCloneService<(), (), Infallible>;
        ready(Err::<None, _>(io::Error::other("none here")))
    }));
    let error = none.oneshot(()).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "none here");
}

#[tokio::test]
async fn one_service_is_made_for_each_backend_and_dropped_when_it_leaves() {
    /// A service that counts those that live.
    #[derive(Clone)]
    struct Counted(#[expect(dead_code, reason = "counted by reference")] Arc<()>);
    impl Service<()> for Counted {
        type Response = ();
        type Error = Infallible;
        type Future = std::future::Ready<Result<(), Infallible>>;

        fn poll_ready(
            &mut self,
            _cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            ready(Ok(()))
        }
    }

    let addrs = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    let (source, handle) = Manual::new(Snapshot::from_addrs(addrs));
    let pool = Pool::spawn(WeightedRoundRobin::new(), source).unwrap();
    let (living, made) = (Arc::new(()), Arc::new(AtomicUsize::new(0)));
    let make = service_fn({
        let (living, made) = (Arc::clone(&living), Arc::clone(&made));
        move |_: Arc<Backend>| {
            made.fetch_add(1, Relaxed);
            ready(Ok::<_, Infallible>(Counted(Arc::clone(&living))))
        }
    });
    let balanced = pool.balance(make);
    for _ in 0..10 {
        balanced.clone().oneshot(()).await.unwrap();
    }
    assert_eq!(made.load(Relaxed), 2);
    let of_both = Arc::strong_count(&living);
    handle.set(Snapshot::from_addrs([addrs[0]]));
    eventually("the change", || pool.upstream().discovered().len() == 1).await;
    balanced.clone().oneshot(()).await.unwrap();
    assert_eq!(Arc::strong_count(&living), of_both - 1);
}

#[tokio::test]
async fn a_lease_that_is_kept_counts_as_in_flight_until_it_is_dropped() {
    let pool = pool([http_server("a", StatusCode::OK).await]);
    let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
    let make = service_fn(move |backend: Arc<Backend>| {
        let client = client.clone();
        ready(Ok::<_, Infallible>(service_fn(
            move |mut request: Request<Body>| {
                *request.uri_mut() = at(request.uri(), &backend);
                client.request(request)
            },
        )))
    });
    let balanced = pool.balance(make).keep_lease(|response, lease| {
        response.extensions_mut().insert(Arc::new(lease));
    });
    let request = Request::get("http://any/").body(Body::new()).unwrap();
    let response = balanced.oneshot(request).await.unwrap();
    assert_eq!(in_flight(pool.upstream()), 1);
    drop(response);
    assert_eq!(in_flight(pool.upstream()), 0);
}

#[tokio::test]
async fn a_pool_and_a_connector_are_services_of_keys() {
    let addrs = [named("a").await, named("b").await];
    let upstream = Upstream::builder("keys").policy(Rendezvous::new());
    let upstream = upstream.fixed(&Snapshot::from_addrs(addrs)).unwrap();
    let mut pool = upstream.spawn().unwrap();
    let mut connector = upstream.connect(b"").into_service();
    for key in ["user-1", "user-2", "user-3"] {
        let lease = Service::call(&mut pool, key).await.unwrap();
        assert_eq!(in_flight(&upstream), 1);
        drop(lease);
        let mut homes = Vec::new();
        for _ in 0..3 {
            let service = ServiceExt::<&str>::ready(&mut connector).await.unwrap();
            let mut connected = service.call(key).await.unwrap();
            let mut name = String::new();
            connected.read_to_string(&mut name).await.unwrap();
            homes.push((name, connected.backend().addr));
        }
        let home = Service::call(&mut pool, key).await.unwrap().addr();
        assert!(homes.iter().all(|(_, addr)| *addr == home), "{homes:?}");
    }
    assert_eq!(in_flight(&upstream), 0);
}

#[tokio::test]
async fn calls_wait_for_the_first_membership() {
    let addr = named("late").await;
    let (source, _handle) = Manual::new(Snapshot::from_addrs([addr]));
    let mut pool = Pool::spawn(WeightedRoundRobin::new(), source).unwrap();
    assert!(!pool.is_ready());
    let picking = Service::call(&mut pool, "");
    let lease = within("the pick", picking).await.unwrap();
    assert_eq!(lease.addr(), addr);
}

/// The caller gets the panic, as of every service.
#[tokio::test]
async fn a_service_that_panics_gives_its_lease_back() {
    for method in ["MakeService", "Service::call", "Response"] {
        for call in [1, 2, 100] {
            let pool = pool([loopback()]);
            let fuse = Fuse::armed(method, call);
            let make = service_fn(move |_: Arc<Backend>| {
                fuse.burn("MakeService");
                let fuse = Arc::clone(&fuse);
                ready(Ok::<_, Infallible>(service_fn(move |()| {
                    fuse.burn("Service::call");
                    let fuse = Arc::clone(&fuse);
                    async move {
                        fuse.burn("Response");
                        Ok::<_, Infallible>(())
                    }
                })))
            });
            let balanced = pool.balance(make);
            let mut panics = 0;
            for _ in 0..call + 5 {
                let answer = tokio::spawn(balanced.clone().oneshot(())).await;
                panics += u64::from(answer.is_err());
            }
            // One service is made for the backend, and again only after the panic.
            let expected = u64::from(method != "MakeService" || call == 1);
            assert_eq!(panics, expected, "{method} {call}");
            assert_eq!(in_flight(pool.upstream()), 0, "{method} {call}");
        }
    }
}
