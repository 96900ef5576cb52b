use std::num::NonZeroU32;

use lb_core::{AdminState, Weight};

use super::*;
use crate::backend_override::WeightOverride;

const OPERATOR: OverrideOrigin = OverrideOrigin::Operator;
const AGENT: OverrideOrigin = OverrideOrigin::AgentCheck;

fn addr(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn backend(port: u16) -> Backend {
    Backend::new(addr(port)).weight(Weight::new(10))
}

fn set(overrides: &mut Overrides, discovered: &Snapshot, origin: OverrideOrigin, what: Override) {
    let present = discovered.find(addr(1));
    let set = overrides.set(addr(1), present, origin, "me".into(), what);
    assert_eq!(set, Ok(true));
}

fn weight(percent: u16) -> Override {
    Override::Weight(WeightOverride::Percent(percent))
}

#[test]
fn each_setting_comes_from_the_highest_origin_that_has_one() {
    let discovered = Snapshot::from_backends([backend(1), backend(2)]);
    let mut overrides = Overrides::default();
    let drain = Override::Admin(AdminState::Drain);
    set(&mut overrides, &discovered, AGENT, weight(50));
    set(&mut overrides, &discovered, AGENT, drain);
    let ready = Override::Admin(AdminState::Ready);
    set(&mut overrides, &discovered, OPERATOR, ready);
    let applied = overrides.apply(&discovered);
    let first = applied.find(addr(1)).unwrap();
    assert_eq!((first.weight.get(), first.admin), (5, AdminState::Ready));
    assert_eq!(applied.find(addr(2)), discovered.find(addr(2)));
    let in_force: Vec<bool> = overrides.list().iter().map(|o| o.in_force).collect();
    assert_eq!(in_force, [false, true, true]);

    assert!(overrides.clear(addr(1), OPERATOR, OverrideKind::Admin));
    assert!(!overrides.clear(addr(1), OPERATOR, OverrideKind::Admin));
    let first = overrides.apply(&discovered).find(addr(1)).cloned();
    assert_eq!(first.unwrap().admin, AdminState::Drain);
}

#[test]
fn an_unknown_address_is_an_error_and_an_equal_value_changes_nothing() {
    let discovered = Snapshot::from_backends([backend(1)]);
    let mut overrides = Overrides::default();
    let unknown = overrides.set(addr(9), None, OPERATOR, "me".into(), weight(50));
    assert_eq!(unknown, Err(UnknownBackend { addr: addr(9) }));
    set(&mut overrides, &discovered, OPERATOR, weight(50));
    let again = overrides.set(addr(1), None, OPERATOR, "you".into(), weight(50));
    assert_eq!(again, Ok(false));
    assert_eq!(&*overrides.list()[0].by, "me");
}

#[test]
fn absence_ends_what_a_check_found_and_another_instance_ends_all() {
    let pod = |uid: &str| Snapshot::from_backends([backend(1).instance(uid)]);
    let mut overrides = Overrides::default();
    set(&mut overrides, &pod("a"), AGENT, weight(50));
    let limit = Override::MaxConns(NonZeroU32::new(3));
    set(&mut overrides, &pod("a"), OPERATOR, limit);
    let forgotten = overrides.renew(&Snapshot::default());
    assert_eq!(forgotten.len(), 1);
    assert_eq!(forgotten[0].origin, AGENT);
    assert!(overrides.renew(&pod("a")).is_empty());
    assert_eq!(overrides.list()[0].setting, limit);
    assert_eq!(overrides.renew(&pod("b"))[0].setting, limit);
    assert!(overrides.list().is_empty());
    assert_eq!(overrides.apply(&pod("b")), pod("b"));
}
