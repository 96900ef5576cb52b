use std::net::Ipv4Addr;

use hickory_resolver::proto::rr::rdata::{A, CNAME};

use super::*;

fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

fn alias(of: &str, ttl: u32, target: &str) -> Record {
    Record::from_rdata(name(of), ttl, RData::CNAME(CNAME(name(target))))
}

fn address(of: &str, ttl: u32) -> Record {
    Record::from_rdata(name(of), ttl, RData::A(A(Ipv4Addr::LOCALHOST)))
}

/// Follows `answers` one after another. Returns the result, the last name and the TTL.
fn follow(answers: &[&[Record]], kind: RecordType) -> (String, String, u32) {
    let mut aliases = Aliases::of(&name("a"));
    let mut last = String::new();
    for answer in answers {
        last = match aliases.follow(answer, kind) {
            Ok(AliasStep::Found(records)) => format!("{} found", records.len()),
            Ok(step) => format!("{step:?}"),
            Err(endless) => format!("{endless:?}"),
        };
    }
    let shown = aliases.name().to_string();
    (last, shown, aliases.ttl())
}

#[test]
fn an_answer_may_have_the_whole_chain_or_a_part_of_it() {
    let whole = [alias("a", 9, "b"), alias("b", 5, "c"), address("c", 7)];
    let found = ("1 found".to_owned(), "c.".to_owned(), 5);
    assert_eq!(follow(&[&whole], RecordType::A), found);
    // In any order.
    let mut turned = whole.clone();
    turned.reverse();
    assert_eq!(follow(&[&turned], RecordType::A), found);
    let parts: [&[Record]; 2] = [&whole[..2], &whole[2..]];
    assert_eq!(follow(&parts, RecordType::A), found);
    let step = ("Alias".to_owned(), "c.".to_owned(), 5);
    assert_eq!(follow(&parts[..1], RecordType::A), step);
}

#[test]
fn records_of_other_names_and_types_are_distinguished() {
    let (step, ..) = follow(&[&[address("b", 1)]], RecordType::A);
    assert_eq!(step, "Nothing");
    let (step, ..) = follow(&[&[address("a", 1)]], RecordType::AAAA);
    assert_eq!(step, "OtherTypes");
    let (step, _, ttl) = follow(&[&[address("a", 8), alias("b", 1, "a")]], RecordType::A);
    assert_eq!((step.as_str(), ttl), ("1 found", 8));
}

#[test]
fn a_loop_is_no_answer() {
    let circle = [alias("a", 1, "b"), alias("b", 1, "a")];
    for answers in [
        &[&circle[..]][..],
        &[&circle[..1], &circle[1..]],
        &[&[alias("a", 1, "a")]],
    ] {
        assert_eq!(follow(answers, RecordType::A).0, "Loop");
    }
    // A loop with records is an answer.
    let with_records = [&circle[..], &[address("b", 1)]].concat();
    assert_eq!(follow(&[&with_records], RecordType::A).0, "1 found");
}

#[test]
fn a_chain_that_is_too_long_is_no_answer() {
    let names: Vec<String> = ('a'..='z').map(String::from).collect();
    let chain: Vec<Record> = names
        .windows(2)
        .map(|pair| alias(&pair[0], 1, &pair[1]))
        .collect();
    let end = |length: usize| address(&names[length], 1);
    for (length, expected) in [(MAX_ALIASES, "1 found"), (MAX_ALIASES + 1, "TooLong")] {
        let whole = [&chain[..length], &[end(length)]].concat();
        assert_eq!(follow(&[&whole], RecordType::A).0, expected);
        let parts: Vec<&[Record]> = whole.chunks(1).collect();
        assert_eq!(follow(&parts, RecordType::A).0, expected);
    }
}

#[test]
fn several_aliases_of_one_name_lead_to_one_next_name() {
    for answer in [
        [alias("a", 1, "c"), alias("a", 1, "b")],
        [alias("a", 1, "b"), alias("a", 1, "c")],
    ] {
        let (step, next, _) = follow(&[&answer], RecordType::A);
        assert_eq!((step.as_str(), next.as_str()), ("Alias", "b."));
    }
}
