use std::path::Path;

use super::*;
use crate::config::main::Config;

/// A `listen` of each address. An IPv6 socket takes IPv4 too if it is marked.
fn listens(addrs: &[(&str, bool)]) -> Vec<Listen> {
    let text = b"stream { server { listen 446; return ''; } }";
    let config = Config::parse(Path::new("test.conf"), text, Path::new("")).unwrap();
    let any = &config.stream.unwrap().servers[0].listens[0];
    let listen = |(addr, dual_stack): &(&str, bool)| Listen {
        addr: addr.parse().unwrap(),
        ipv6only: !dual_stack,
        ..any.clone()
    };
    addrs.iter().map(listen).collect()
}

/// The addresses in every order.
fn orders(addrs: &[(&'static str, bool)]) -> Vec<Vec<(&'static str, bool)>> {
    if addrs.is_empty() {
        return vec![Vec::new()];
    }
    let firsts = 0..addrs.len();
    let orders = firsts.flat_map(|first| {
        let mut rest = addrs.to_vec();
        let first = rest.remove(first);
        let rest = orders(&rest).into_iter();
        rest.map(move |rest| [&[first][..], &rest].concat())
    });
    orders.collect()
}

#[test]
fn an_address_is_compared_with_few_and_found_to_overlap_the_first_of_all() {
    for dual_stack in [false, true] {
        let addrs = [
            ("0.0.0.0:446", false),
            ("[::]:446", dual_stack),
            ("127.0.0.1:446", false),
            ("127.0.0.2:446", false),
            ("[::1]:446", false),
            ("[::2]:446", false),
        ];
        for order in orders(&addrs) {
            let listens = listens(&order);
            let mut port = PortListens::default();
            for (number, listen) in listens.iter().enumerate() {
                let mut before = listens[..number].iter();
                let first = before.find(|other| covers(listen, other) || covers(other, listen));
                assert_eq!(port.add(listen), first, "{order:?}");
            }
            assert!(port.0.len() <= 4, "{order:?}");
        }
    }
}
