//! Forged, mangled and cut answers: against a server on this machine, through a relay that changes them, in real time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use super::names::{NAME, SERVICE, at, dns, ip, ips};
use lb_core::{Rng, SplitMix64};
use lb_discovery::{DiscoveryError, Dns, Resolver};
use test_support::discovery::addrs;
use test_support::dns::proto::op::Message;
use test_support::dns::proto::rr::{Name, RData, Record};
use test_support::dns::{DnsServer, Forger};

const TRUTH: &str = "10.0.0.1";
const LIE: &str = "192.0.2.66";

fn server() -> DnsServer {
    let server = DnsServer::start();
    server.set(NAME, 60, &[ip(TRUTH)]);
    server
}

fn asking(addr: SocketAddr, timeout: Duration) -> Resolver {
    let builder = Resolver::builder().name_servers(&[addr]);
    builder.timeout(timeout).attempts(1).build().unwrap()
}

/// Makes the forged answer, which is sent before the true one.
type Forgery = fn(&[u8]) -> Vec<u8>;

/// The answer as `change` leaves it.
fn changed(answer: &[u8], change: impl FnOnce(&mut Message)) -> Vec<u8> {
    let mut message = Message::from_vec(answer).unwrap();
    change(&mut message);
    message.to_vec().unwrap()
}

fn with_lie(message: &mut Message) {
    for record in &mut message.answers {
        record.data = RData::from(ip(LIE));
    }
}

#[tokio::test]
async fn forged_answers_are_rejected() {
    let server = server();
    let forgeries: [Forgery; 4] = [
        // Another question's number.
        |answer| {
            changed(answer, |message| {
                with_lie(message);
                message.metadata.id = message.metadata.id.wrapping_add(1);
            })
        },
        // An answer to another question.
        |answer| {
            changed(answer, |message| {
                with_lie(message);
                let name = Name::from_ascii("other.test.").unwrap();
                message.queries[0].set_name(name.clone());
                for record in &mut message.answers {
                    record.name = name.clone();
                }
            })
        },
        |_| b"no DNS at all".to_vec(),
        |_| Vec::new(),
    ];
    for forge in forgeries {
        let liar = Forger::start(server.addr(), move |answer| vec![forge(&answer), answer]).await;
        let dns = Dns::try_new(asking(liar.addr, Duration::from_secs(5)), NAME, 446).unwrap();
        let found = dns.lookup().await;
        // A forged answer is ignored, or makes the question fail. It is never used.
        if let Ok(found) = found {
            assert_eq!(addrs(&found.snapshot), at(446, &[TRUTH]));
        }
    }
}

#[tokio::test]
async fn records_about_another_name_change_nothing() {
    let server = server();
    server.set("victim.test", 60, &[ip("10.0.0.9")]);
    server.lie(NAME, &[("victim.test", ip(LIE)), ("test", ip(LIE))]);
    let (liar, victim) = (dns(&[&server], NAME), dns(&[&server], "victim.test"));
    assert_eq!(
        addrs(&liar.lookup().await.unwrap().snapshot),
        at(446, &[TRUTH])
    );
    assert_eq!(
        addrs(&victim.lookup().await.unwrap().snapshot),
        at(446, &["10.0.0.9"])
    );
    // Not even if there is nothing else in the answer.
    server.set("empty.test", 60, &[]);
    server.lie("empty.test", &[("victim.test", ip(LIE))]);
    let error = dns(&[&server], "empty.test").lookup().await.unwrap_err();
    assert!(error.is_authoritative_empty(), "{error}");
}

/// Such an answer is not even evidence that the name has no records.
#[tokio::test]
async fn an_answer_about_other_names_alone_is_a_failure() {
    let server = server();
    let renamed = |answer: Vec<u8>| {
        let other = Name::from_ascii("other.test.").unwrap();
        vec![changed(&answer, |message| {
            for record in &mut message.answers {
                record.name = other.clone();
            }
        })]
    };
    let liar = Forger::start(server.addr(), renamed).await;
    let resolver = Resolver::builder().name_servers(&[liar.addr]).ipv6(false);
    let dns = Dns::try_new(resolver.build().unwrap(), NAME, 446).unwrap();
    let error = dns.lookup().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
    // Records of the name of another type mean NODATA: some servers answer every question with A records.
    let of_v4 = |answer: Vec<u8>| {
        vec![changed(&answer, |message| {
            let name = message.queries[0].name().clone();
            message.answers = vec![Record::from_rdata(name, 60, RData::from(ip(TRUTH)))];
        })]
    };
    let liar = Forger::start(server.addr(), of_v4).await;
    let resolver = Resolver::builder().name_servers(&[liar.addr]);
    let dns = Dns::try_new(resolver.build().unwrap(), NAME, 446).unwrap();
    let found = dns.lookup().await.unwrap();
    assert_eq!(addrs(&found.snapshot), at(446, &[TRUTH]));
    assert_eq!(found.valid_for, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn an_answer_that_is_truncated_everywhere_is_a_failure() {
    let server = server();
    server.set_truncated(true);
    let error = dns(&[&server], NAME).lookup().await.unwrap_err();
    assert!(
        matches!(error, DiscoveryError::Unavailable { .. }),
        "{error}"
    );
    let liar = Forger::start(server.addr(), |answer| vec![answer]).await;
    let dns = Dns::try_new(asking(liar.addr, Duration::from_secs(1)), NAME, 446).unwrap();
    let error = dns.lookup().await.unwrap_err();
    assert!(!error.is_authoritative_empty(), "{error}");
}

#[tokio::test]
async fn an_answer_cut_anywhere_is_a_failure_or_the_truth() {
    let server = server();
    server.set(NAME, 60, &ips(&[TRUTH, "10.0.0.2", "2001:db8::1"]));
    let truth = at(446, &[TRUTH, "10.0.0.2", "2001:db8::1"]);
    let lookups = (0..80).map(|length| {
        let truth = truth.clone();
        let addr = server.addr();
        async move {
            let cut = move |mut answer: Vec<u8>| {
                answer.truncate(length);
                vec![answer]
            };
            let liar = Forger::start(addr, cut).await;
            let dns =
                Dns::try_new(asking(liar.addr, Duration::from_millis(300)), NAME, 446).unwrap();
            match dns.lookup().await {
                Ok(found) => assert!(addrs(&found.snapshot).iter().all(|a| truth.contains(a))),
                Err(error) => assert!(!error.is_authoritative_empty(), "{length}: {error}"),
            }
        }
    });
    futures::future::join_all(lookups).await;
}

/// Answers with some bytes replaced may be used, because they may be valid; nothing worse happens.
#[tokio::test]
async fn no_mangled_answer_causes_a_panic() {
    let server = server();
    server.set(NAME, 60, &ips(&[TRUTH, "2001:db8::1"]));
    server.alias("alias.test", 60, NAME);
    server.set_service(SERVICE, 60, &[(1, 1, 446, NAME), (2, 0, 446, "alias.test")]);
    let rng = Mutex::new(SplitMix64::new(7));
    let mangle = move |mut answer: Vec<u8>| {
        let mut rng = rng.lock().unwrap();
        for _ in 0..1 + rng.next_u64() % 4 {
            let at = 2 + rng.next_u64() as usize % (answer.len() - 2); // with the right number: the client drops other ones unread
            answer[at] = rng.next_u64() as u8;
        }
        vec![answer]
    };
    let liar = Forger::start(server.addr(), mangle).await;
    let resolver = asking(liar.addr, Duration::from_millis(100));
    let mut known = 0;
    for _ in 0..40 {
        let lookups = (0..10).map(|n| {
            let name = if n % 2 == 0 { NAME } else { "alias.test" };
            let dns = if n < 5 {
                Dns::try_service(resolver.clone(), SERVICE)
            } else {
                Dns::try_new(resolver.clone(), name, 446)
            };
            async move { dns.unwrap().lookup().await }
        });
        let found = futures::future::join_all(lookups).await;
        for set in found.into_iter().flatten() {
            known += set.snapshot.len();
            assert!(
                set.snapshot
                    .iter()
                    .all(|b| b.takes_connections() && b.addr.port() != 0)
            );
        }
    }
    assert!(known > 0, "some answers were still answers");
    let dns = dns(&[&server], NAME);
    assert_eq!(dns.lookup().await.unwrap().snapshot.len(), 2);
}
