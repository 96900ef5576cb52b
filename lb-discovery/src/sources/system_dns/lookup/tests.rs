use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

fn by(resolve: Resolve) -> SystemLookup {
    SystemLookup {
        resolve,
        ..SystemLookup::new("node.test", 446)
    }
}

async fn found(resolve: Resolve) -> Vec<String> {
    let resolved = by(resolve).lookup().await.unwrap();
    assert_eq!(resolved.valid_for, None);
    let backends = resolved.snapshot.iter();
    backends.map(|backend| backend.addr.to_string()).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn addresses_are_sorted_once_each_and_unusable_ones_are_left_out() {
    let addrs = found(|name| {
        assert_eq!(name, "node.test");
        let texts = [
            "2001:db8::1",
            "10.0.0.2",
            "0.0.0.0",
            "224.0.0.1",
            "::",
            "10.0.0.1",
            "10.0.0.2",
        ];
        Ok(texts.map(ip).into())
    });
    assert_eq!(
        addrs.await,
        ["10.0.0.1:446", "10.0.0.2:446", "[2001:db8::1]:446"]
    );
}

#[tokio::test]
async fn an_answer_has_a_limited_number_of_addresses() {
    let addrs = found(|_| {
        Ok((0..2000)
            .map(|n| IpAddr::from([10, 0, (n / 256) as u8, n as u8]))
            .collect())
    });
    assert_eq!(addrs.await.len(), MAX_ADDRESSES);
}

#[tokio::test]
async fn a_failure_is_never_an_answer_that_there_are_no_backends() {
    let failures: [Resolve; 3] = [
        |_| Err(io::Error::other("Name or service not known")),
        |_| Ok(Vec::new()),
        |_| Ok(vec![ip("0.0.0.0")]),
    ];
    for resolve in failures {
        let error = by(resolve).lookup().await.unwrap_err();
        assert!(
            matches!(error, DiscoveryError::Unavailable { .. }),
            "{error}"
        );
        assert!(
            error.to_string().starts_with("looking up node.test: "),
            "{error}"
        );
        assert!(!error.is_authoritative_empty());
    }
}

#[tokio::test]
async fn a_resolver_that_panics_fails() {
    let error = by(|_| panic!("a plug-in of the system"))
        .lookup()
        .await
        .unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
}

/// Held while the resolver of the next test must not answer.
static HANG: Mutex<()> = Mutex::new(());
static BEGUN: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn a_resolver_that_hangs_takes_one_thread() {
    let hang = HANG.lock().unwrap();
    let mut lookup = by(|_| {
        BEGUN.fetch_add(1, Ordering::Relaxed);
        drop(HANG.lock());
        Ok(vec![ip("10.0.0.1")])
    });
    lookup.limit = Duration::from_millis(50);
    for _ in 0..3 {
        let error = lookup.lookup().await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("within 50ms"), "{error}");
    }
    assert_eq!(BEGUN.load(Ordering::Relaxed), 1);
    drop(hang);
    lookup.limit = TIMEOUT;
    assert_eq!(lookup.lookup().await.unwrap().snapshot.len(), 1);
    assert_eq!(BEGUN.load(Ordering::Relaxed), 2);
}

#[test]
fn a_resolver_that_hangs_does_not_keep_a_runtime_from_ending() {
    static FOREVER: Mutex<()> = Mutex::new(());
    let _hang = FOREVER.lock().unwrap();
    let mut lookup = by(|_| {
        drop(FOREVER.lock());
        Ok(Vec::new())
    });
    lookup.limit = Duration::from_millis(50);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    assert!(runtime.block_on(lookup.lookup()).is_err());
    drop(runtime);
}
