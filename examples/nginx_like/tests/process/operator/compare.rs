//! `compare`.

use super::{Administered, operator};
use crate::sockets::Reserved;

async fn replica(policy: &str, servers: &[(&Reserved, u32)]) -> Administered {
    let servers = servers
        .iter()
        .map(|(server, weight)| format!("server {} weight={weight};", server.addr));
    let servers: String = servers.collect();
    let stream =
        format!("upstream u {{ {policy} {servers} }} server {{ listen LISTEN; proxy_pass u; }}");
    Administered::start(&stream).await
}

#[tokio::test]
async fn replicas_are_alike_or_their_first_difference_is_named() {
    const HASH: &str = "hash $remote_addr consistent;";
    let (one, two) = (Reserved::any(), Reserved::any());
    let a = replica(HASH, &[(&one, 1), (&two, 2)]).await;
    // The order makes no difference.
    let b = replica(HASH, &[(&two, 2), (&one, 1)]).await;
    let compare = |b: &Administered| operator(&["compare", &a.address(), &b.address()]);
    let alike = compare(&b).stdout(0);
    assert!(
        alike.starts_with(
            "alike: 1 upstream with 2 backends, equal digests of 1 hashing upstream\n"
        ),
        "{alike}"
    );
    assert!(
        alike.contains(&format!("A is {}\nB is {}\n", a.address(), b.address())),
        "{alike}"
    );

    let two_addr = two.addr.to_string();
    b.ask(&["weight", "u", &two_addr, "3"]).stdout(0);
    let differ = compare(&b).stdout(1);
    let expected =
        format!("differ: upstream u, backend {two_addr}: the weight is 2 on A and 3 on B\n");
    assert!(differ.starts_with(&expected), "{differ}");
    b.ask(&["weight", "u", &two_addr, "default"]).stdout(0);
    compare(&b).stdout(0);

    let [plain, reversed] = [
        replica("hash $remote_addr;", &[(&one, 1), (&two, 2)]).await,
        replica("hash $remote_addr;", &[(&two, 2), (&one, 1)]).await,
    ];
    let differ = operator(&["compare", &plain.address(), &reversed.address()]).stdout(1);
    assert!(
        differ.starts_with("differ: upstream u, priority 0: the order of the backends differs"),
        "{differ}"
    );

    let c = replica(HASH, &[(&one, 1)]).await;
    let differ = compare(&c).stdout(1);
    let expected = format!("differ: upstream u: only A has the backend {two_addr}\n");
    assert!(differ.starts_with(&expected), "{differ}");
    let d = replica("least_conn;", &[(&one, 1), (&two, 2)]).await;
    let differ = compare(&d).stdout(1);
    assert!(
        differ.starts_with("differ: upstream u: the policy is "),
        "{differ}"
    );

    let address = b.address();
    drop(b);
    let absent = operator(&["compare", &a.address(), &address]).stderr(3);
    assert!(
        absent.starts_with(&format!("nginx_like: {address} cannot be reached (")),
        "{absent}"
    );
}
