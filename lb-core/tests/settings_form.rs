//! Settings as data: round trips, defaults, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_core::policy::{
    BalanceFactor, Ketama, LeastTime, Maglev, PolicyKind, PolicySettings, Rendezvous, RingHash,
};
use lb_core::{
    AdminState, Backend, BalancerConfig, CommonOutage, Endpoint, FailLimit, FailLimits, Health,
    OnAllEjected, OutlierDetection, Priority, SlowStart, Snapshot, Subset, Weight, ZonePreference,
};
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    let read: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(read, *value, "{text}");
    text
}

fn read<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn refused<T: DeserializeOwned + Debug>(text: &str, said: &str) {
    let error = serde_json::from_str::<T>(text).unwrap_err().to_string();
    assert!(error.contains(said), "{text}: {error}");
    assert!(error.contains(" at line 1 column "), "{error}");
}

#[track_caller]
fn defaults<T: Default + Serialize + DeserializeOwned + PartialEq + Debug>(written: &str) {
    assert_eq!(round_trip(&T::default()), written);
    assert_eq!(read::<T>("{}"), T::default());
    refused::<T>(r#"{"unknown":1}"#, "unknown field `unknown`, expected ");
}

fn percent(text: &str) -> BalanceFactor {
    BalanceFactor::percent(text.parse().unwrap())
}

#[test]
fn what_a_file_leaves_out_has_the_default_of_the_builders() {
    defaults::<FailLimit>(r#"{"max_fails":1,"fail_timeout":"10s"}"#);
    defaults::<CommonOutage>(r#"{"window":"10s","trial_interval":"100ms"}"#);
    defaults::<OutlierDetection>(
        "{\"consecutive_failures\":5,\"base_ejection\":\"30s\",\"max_ejection\":\"5m\",\"max_jitter\":\"0s\",\
         \"max_ejected_percent\":10,\"interval\":\"10s\"}",
    );
    defaults::<BalancerConfig>(
        "{\"common_outage\":{\"window\":\"10s\",\"trial_interval\":\"100ms\"},\"fail_limits\":\"of_each\",\
         \"initial_health\":\"healthy\",\"on_all_ejected\":\"try\",\"outlier_detection\":false,\
         \"overprovisioning\":false,\"panic_threshold\":false,\"slow_start\":false,\"subset\":false,\"zone\":false}",
    );
    defaults::<Maglev>(r#"{"table_size":65537,"balance_factor":false}"#);
    defaults::<Ketama>(r#"{"max_points":2097152,"balance_factor":false}"#);
    defaults::<RingHash>(r#"{"min_size":1024,"max_size":8388608,"balance_factor":false}"#);
    defaults::<Rendezvous>(r#"{"balance_factor":false}"#);
    defaults::<LeastTime>(r#"{"measure":"connect","in_flight":false}"#);
    assert_eq!(round_trip(&PolicySettings::default()), "\"p2c\"");
    let slow: SlowStart = read(r#"{"window":"30s"}"#);
    assert_eq!(slow, SlowStart::new(Duration::from_secs(30)));
    let zone: ZonePreference = read(r#"{"zone":"a"}"#);
    assert_eq!(zone, ZonePreference::new("a"));
    let backend: Backend = read(r#"{"addr":"10.0.0.1:446"}"#);
    assert_eq!(backend, Backend::new("10.0.0.1:446".parse().unwrap()));
    assert_eq!(round_trip(&backend), r#"{"addr":"10.0.0.1:446"}"#);
}

#[test]
fn names_of_states_are_read_and_written() {
    for (state, text) in [(AdminState::Drain, "drain"), (AdminState::Ready, "ready")] {
        assert_eq!(round_trip(&state), format!("{text:?}"));
    }
    for (health, text) in [
        (Health::Healthy, "healthy"),
        (Health::Unchecked, "unchecked"),
        (Health::Unhealthy, "unhealthy"),
    ] {
        assert_eq!(round_trip(&health), format!("{text:?}"));
    }
    for (on, text) in [(OnAllEjected::Refuse, "refuse"), (OnAllEjected::Try, "try")] {
        assert_eq!(round_trip(&on), format!("{text:?}"));
    }
    for kind in PolicyKind::ALL {
        assert_eq!(round_trip(&kind), format!("\"{kind}\""));
        assert_eq!(
            round_trip(&PolicySettings::from(kind)),
            format!("\"{kind}\"")
        );
        assert_eq!(PolicySettings::from(kind).kind(), kind);
        assert_eq!(PolicySettings::from(kind).build().name(), kind.as_str());
        let with_none: PolicySettings = read(&format!("{{\"{kind}\":{{}}}}"));
        assert_eq!(with_none, kind.into());
    }
    round_trip(&Weight::new(7));
    round_trip(&Priority::BACKUP);
}

#[test]
fn a_policy_has_its_settings_under_its_name() {
    let factor = percent("125");
    for (settings, text) in [
        (
            PolicySettings::Maglev(Maglev::try_new(13).unwrap().balance_factor(factor)),
            r#"{"maglev":{"table_size":13,"balance_factor":125}}"#,
        ),
        (
            PolicySettings::Ketama(Ketama::new().max_points(9)),
            r#"{"ketama":{"max_points":9,"balance_factor":false}}"#,
        ),
        (
            PolicySettings::RingHash(RingHash::try_new(3, 5).unwrap()),
            r#"{"ring_hash":{"min_size":3,"max_size":5,"balance_factor":false}}"#,
        ),
        (
            PolicySettings::Rendezvous(Rendezvous::new().balance_factor(factor)),
            r#"{"rendezvous":{"balance_factor":125}}"#,
        ),
        (
            PolicySettings::LeastTime(LeastTime::last_byte().in_flight(true)),
            r#"{"least_time":{"measure":"last_byte","in_flight":true}}"#,
        ),
    ] {
        assert_eq!(round_trip(&settings), text);
        assert_eq!(
            settings.build().settings(),
            read::<PolicySettings>(text).build().settings()
        );
    }
    let envoy: PolicySettings = read(
        r#"{"ring_hash":{"minimum_ring_size":3,"maximum_ring_size":5,"hash_balance_factor":0}}"#,
    );
    assert_eq!(
        envoy,
        PolicySettings::RingHash(RingHash::try_new(3, 5).unwrap())
    );
}

#[test]
fn policies_are_refused_as_by_their_constructors() {
    let refused = refused::<PolicySettings>;
    let unknown = "fastest".parse::<PolicyKind>().unwrap_err().to_string();
    refused("\"fastest\"", &unknown);
    refused(r#"{"fastest":{}}"#, &unknown);
    refused("{}", "expected the name of a policy");
    refused("3", "expected the name of a policy");
    refused(
        r#"{"p2c":{},"first":{}}"#,
        "\"p2c\" and \"first\" are two policies",
    );
    refused(r#"{"p2c":{"table_size":13}}"#, "unknown field `table_size`");
    refused(
        r#"{"maglev":{"slots":13}}"#,
        "unknown field `slots`, expected",
    );
    let size = Maglev::try_new(12).unwrap_err().to_string();
    refused(r#"{"maglev":{"table_size":12}}"#, &size);
    let size = RingHash::try_new(5, 3).unwrap_err().to_string();
    refused(r#"{"ring_hash":{"min_size":5,"max_size":3}}"#, &size);
    refused(
        r#"{"maglev":{"balance_factor":100}}"#,
        "100 % is no balance factor",
    );
    refused(
        r#"{"least_time":{"measure":"header"}}"#,
        "unknown variant `header`",
    );
}

#[test]
fn settings_of_a_balancer_are_refused_with_what_would_do() {
    let refused = refused::<BalancerConfig>;
    for (text, said) in [
        (
            r#"{"overprovisioning":99}"#,
            "a whole percentage from 100 to 65535",
        ),
        (
            r#"{"overprovisioning":true}"#,
            "its settings, or false to switch it off",
        ),
        (
            r#"{"panic_threshold":101}"#,
            "a whole percentage from 0 to 100",
        ),
        (
            r#"{"panic_threshold":-1}"#,
            "a whole percentage from 0 to 100",
        ),
        (
            r#"{"panic_threshold":0.5}"#,
            "a whole percentage from 0 to 100",
        ),
        (r#"{"slow_start":{}}"#, "missing field `window`"),
        (
            r#"{"slow_start":{"window":10}}"#,
            "a time with its unit, such as 500ms, 10s, 5m or 1h",
        ),
        (r#"{"slow_start":{"window":"10"}}"#, "a time with its unit"),
        (
            r#"{"slow_start":{"window":"1s","aggression":0}}"#,
            "a number above 0",
        ),
        (
            r#"{"slow_start":{"window":"1s","min_percent":101}}"#,
            "from 0 to 100",
        ),
        (r#"{"subset":{"index":3}}"#, "missing field `size`"),
        (r#"{"subset":{"index":3,"size":0}}"#, "nonzero u32"),
        (
            r#"{"zone":{"zone":"a","overprovisioning":50}}"#,
            "from 100 to 65535",
        ),
        (r#"{"fail_limits":{"all":{"max_fails":0}}}"#, "nonzero u32"),
        (r#"{"fail_limits":"none"}"#, "unknown variant `none`"),
        (
            r#"{"outlier_detection":{"max_ejected":1}}"#,
            "unknown field `max_ejected`",
        ),
        (
            r#"{"on_all_ejected":"try","on_all_ejected":"try"}"#,
            "duplicate field",
        ),
    ] {
        refused(text, said);
    }
    let off: BalancerConfig = read(
        r#"{"panic_threshold":0,"common_outage":false,"slow_start":null,"fail_limits":{"all":false}}"#,
    );
    let expected = BalancerConfig::default().common_outage(None);
    assert_eq!(off, expected.fail_limits(FailLimits::All(None)));
}

#[test]
fn backends_are_addresses_or_have_fields() {
    let all: Snapshot =
        read(r#"["10.0.0.1:446", {"addr":"[2001:db8::2]:446","weight":0}, "unix:/run/echo.sock"]"#);
    let texts: Vec<String> = all.iter().map(|b| b.endpoint().to_string()).collect();
    assert_eq!(
        texts,
        ["10.0.0.1:446", "[2001:db8::2]:446", "unix:/run/echo.sock"]
    );
    round_trip(&all);
    for addr in [
        "node1:446",
        "10.0.0.1",
        "10.0.0.1:0",
        "0.0.0.0:446",
        "unix:",
        "",
    ] {
        let said = format!("{addr:?} is no IP address with a port");
        refused::<[Backend; 1]>(&format!("[{addr:?}]"), &said);
        refused::<Backend>(&format!("{{\"addr\":{addr:?}}}"), &said);
    }
    refused::<Backend>(r#"{"weight":1}"#, "missing field `addr`");
    refused::<Backend>(
        r#"{"addr":"10.0.0.1:446","weigth":1}"#,
        "unknown field `weigth`",
    );
    refused::<Snapshot>(
        r#"["10.0.0.1:446","10.0.0.1:446"]"#,
        "backends 1 and 2 are both 10.0.0.1:446",
    );
    refused::<[Endpoint; 1]>("[\"x\"]", "write IP:PORT, [IPv6]:PORT or unix:PATH");
    round_trip(&Endpoint::Unix(Path::new("/run/a\n.sock").into()));
    let admin: Backend = read(r#"{"addr":"10.0.0.1:446","admin":"drain","max_conns":0}"#);
    assert_eq!(admin.admin, AdminState::Drain);
}

fn duration() -> impl Strategy<Value = Duration> {
    (0..100_000_u64, 0..4_u32).prop_map(|(n, power)| Duration::from_micros(n * 1000_u64.pow(power)))
}

fn fail_limit() -> impl Strategy<Value = FailLimit> {
    let most = (1..u32::MAX).prop_map(|most| NonZeroU32::new(most).unwrap());
    (most, duration()).prop_map(|(most, time)| FailLimit::new(most, time))
}

fn config() -> impl Strategy<Value = BalancerConfig> {
    use prop::option::of;
    let outage = of((duration(), duration()));
    let limits = prop_oneof![
        Just(FailLimits::OfEach),
        of(fail_limit()).prop_map(FailLimits::All)
    ];
    let outliers = of((fail_limit(), duration(), duration(), 0..=100_u8));
    // Quarters: the JSON parser of the tests rounds others.
    let slow = of((
        duration(),
        0..=100_u8,
        (1..40_u32).prop_map(|n| f64::from(n) / 4.0),
    ));
    let zone = of(("[a-z\"]{0,5}", any::<u16>(), any::<u32>()));
    let percents = (any::<u16>(), any::<u8>(), of((any::<u64>(), any::<u32>())));
    (outage, limits, outliers, slow, zone, percents).prop_map(
        |(outage, limits, outliers, slow, zone, (over, panic, subset))| {
            let outage = outage.map(|(window, interval)| {
                CommonOutage::default()
                    .window(window)
                    .trial_interval(interval)
            });
            let mut config = BalancerConfig::default()
                .common_outage(outage)
                .fail_limits(limits)
                .initial_health(Health::Unchecked)
                .on_all_ejected(OnAllEjected::Refuse)
                .overprovisioning(over)
                .panic_threshold(panic);
            if let Some((limit, time, other, percent)) = outliers {
                let detection = OutlierDetection::default()
                    .consecutive_failures(limit.max_fails.get())
                    .ejection(time, other)
                    .max_jitter(time)
                    .interval(other)
                    .max_ejected_percent(percent);
                config = config.outlier_detection(detection);
            }
            if let Some((window, percent, aggression)) = slow {
                let slow = SlowStart::new(window).min_percent(percent);
                config = config.slow_start(slow.aggression(aggression));
            }
            if let Some((name, over, least)) = zone {
                let zone = ZonePreference::new(name).overprovisioning(over);
                config = config.zone(zone.min_backends(least));
            }
            match subset {
                Some((index, size)) => config.subset(Subset::new(index, size)),
                None => config,
            }
        },
    )
}

fn backend() -> impl Strategy<Value = Backend> {
    use prop::option::of;
    let name = || of("\\PC{0,6}");
    let endpoint = prop_oneof![
        any::<([u8; 3], u16)>()
            .prop_map(|([a, b, c], port)| Backend::new(([10, a, b, c], port.max(1)).into())),
        "[a-z/\n ]{1,9}".prop_map(|path| Backend::unix(Path::new(&path)))
    ];
    let numbers = (any::<u16>(), any::<u8>(), any::<u32>(), any::<bool>());
    let names = (name(), name(), name(), name(), name());
    let zones = prop::collection::vec("[a-z]{1,3}", 0..3);
    (endpoint, numbers, of(fail_limit()), names, zones).prop_map(
        |(backend, (weight, priority, most, drains), limit, names, zones)| {
            let zones: Vec<Arc<str>> = zones.into_iter().map(Arc::from).collect();
            let mut backend = backend
                .weight(Weight::new(weight))
                .priority(Priority::new(priority))
                .max_conns(most)
                .fail_limit(limit)
                .for_zones(zones);
            if drains {
                backend = backend.admin(AdminState::Drain);
            }
            let (name, zone, node, instance, source) = names;
            backend.name = name.map(Arc::from);
            backend.zone = zone.map(Arc::from);
            backend.node = node.map(Arc::from);
            backend.instance = instance.map(Arc::from);
            backend.source = source.map(Arc::from);
            backend
        },
    )
}

proptest! {
    #[test]
    fn any_settings_of_a_balancer_are_read_back(config in config()) {
        round_trip(&config);
    }

    #[test]
    fn any_backend_is_read_back(backend in backend()) {
        round_trip(&backend);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9 ]{0,60}") {
        drop(serde_json::from_str::<BalancerConfig>(&text));
        drop(serde_json::from_str::<PolicySettings>(&text));
        drop(serde_json::from_str::<Snapshot>(&text));
    }
}
