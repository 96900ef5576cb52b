use super::*;

fn weight(percent: u16) -> Override {
    Override::Weight(WeightOverride::Percent(percent))
}

#[test]
fn a_percentage_is_rounded_up_and_bounded() {
    let of = |percent, weight| {
        WeightOverride::Percent(percent)
            .of(Weight::new(weight))
            .get()
    };
    assert_eq!(
        [
            of(1, 10),
            of(0, 10),
            of(50, 0),
            of(33, 100),
            of(150, 10),
            of(u16::MAX, u16::MAX)
        ],
        [1, 0, 0, 33, 15, u16::MAX]
    );
}

#[test]
fn a_percentage_that_leaves_the_weight_as_it_is_has_no_effect() {
    let is_useless = |percent, source| {
        let backend = Backend::new(([127, 0, 0, 1], 1).into()).weight(Weight::new(source));
        OverrideWithoutEffect::of(&backend, weight(percent)).is_some()
    };
    let useless = [
        (50, 1),
        (1, 1),
        (99, 10),
        (50, 10),
        (0, 1),
        (100, 1),
        (200, 1),
        (50, 0),
    ];
    assert_eq!(
        useless.map(|(percent, source)| is_useless(percent, source)),
        [true, true, true, false, false, false, false, false]
    );
}

#[test]
fn settings_have_a_short_text() {
    let shown = [
        Override::Admin(AdminState::Drain),
        Override::Admin(AdminState::Ready),
        Override::MaxConns(None),
        Override::MaxConns(NonZeroU32::new(7)),
        weight(50),
        Override::Weight(WeightOverride::Value(Weight::new(5))),
    ];
    let texts = shown.map(|setting| setting.to_string());
    let expected = [
        "drain",
        "ready",
        "max_conns unlimited",
        "max_conns 7",
        "weight 50%",
        "weight 5",
    ];
    assert_eq!(texts, expected);
}
