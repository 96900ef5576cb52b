//! Each type: its defaults and its round trip.

use std::time::Duration;

use lb_proxy::access::{Excess, Rate};
use lb_proxy::balancing::{KeyPart, OnBackendLoss, Queue, WaitFor};
use lb_proxy::health::{CheckSettings, InitialState, ProbeHeader};
use lb_proxy::proxy_protocol::{Untrusted, Version};
use lb_proxy::settings::{Bandwidth, HalfClose, Keepalive, OnRefusal, SocketOptions, Splice};
use lb_proxy::settings_file::{
    BindSourceSettings, ClientHelloSettings, ClientZoneSettings, ProxyProtocolSettings,
    ProxySettings, SessionSettings,
};
use lb_proxy::{Limits, Retry, Timeouts, Workers};
use proptest::option::of;
use proptest::prelude::*;

use crate::{read, round_trip};

#[test]
fn what_a_file_leaves_out_has_the_default_of_the_builders() {
    fn default<T>(written: &str)
    where
        T: Default + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
    {
        assert_eq!(read::<T>("{}"), T::default());
        assert_eq!(round_trip(&T::default()), written);
    }
    default::<Timeouts>(
        "{\"connect\":\"5s\",\"idle\":\"10m\",\"half_closed\":\"1m\",\"first_byte\":false,\"max_age\":false,\
         \"max_age_jitter\":\"0s\"}",
    );
    default::<Retry>(r#"{"tries":false,"deadline":"15s","ends_attempts":true}"#);
    default::<Bandwidth>(r#"{"upload":false,"download":false}"#);
    default::<Limits>(r#"{"sessions":false,"rate":false,"excess":"wait"}"#);
    default::<Keepalive>(r#"{"idle":false,"interval":false,"count":false}"#);
    default::<SocketOptions>(
        "{\"nodelay\":true,\"keepalive\":false,\"user_timeout\":false,\"receive_buffer\":false,\"send_buffer\":false}",
    );
    default::<CheckSettings>(
        "{\"interval\":\"5s\",\"interval_in_doubt\":false,\"interval_down\":false,\"timeout\":\"5s\",\"rise\":1,\"fall\":1,\
         \"jitter\":\"0s\",\"initial\":\"up\",\"source\":[],\"header\":\"as_sessions\",\"max_concurrent\":128}",
    );
    default::<ClientZoneSettings>(
        r#"{"ipv4_prefix":32,"ipv6_prefix":64,"capacity":65536,"rate":false}"#,
    );
    default::<ProxyProtocolSettings>(
        "{\"trusted\":[],\"trust_unix\":false,\"required\":true,\"untrusted\":\"refuse\",\"limit\":\"4KiB\",\"timeout\":\"30s\"}",
    );
    default::<ClientHelloSettings>(r#"{"limit":"16KiB","timeout":"30s"}"#);
    default::<BindSourceSettings>(r#"{"addrs":[],"transparent":false}"#);
    assert_eq!(read::<SessionSettings>("{}"), SessionSettings::default());
    assert_eq!(read::<ProxySettings>("{}"), ProxySettings::default());
    let queue = Queue::new(1);
    assert_eq!(read::<Queue>("{capacity: 1}"), queue);
    assert_eq!(
        round_trip(&queue),
        r#"{"capacity":1,"timeout":"1m","wait_for":"room"}"#
    );
}

#[track_caller]
fn written<T>(values: &[T], names: &[&str])
where
    T: Clone + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let text = round_trip(&values.to_vec());
    assert_eq!(text, serde_json::to_string(names).unwrap());
}

#[test]
fn choices_have_their_names() {
    written(&[HalfClose::Allow, HalfClose::End], &["allow", "end"]);
    written(&[Splice::Auto, Splice::Off], &["auto", "off"]);
    written(&[OnRefusal::Close, OnRefusal::Reset], &["close", "reset"]);
    written(&[Excess::Refuse, Excess::Wait], &["refuse", "wait"]);
    written(&[WaitFor::Anything, WaitFor::Room], &["anything", "room"]);
    written(&[Version::V1, Version::V2], &["v1", "v2"]);
    let untrusted = [Untrusted::Disbelieve, Untrusted::Refuse];
    written(&untrusted, &["disbelieve", "refuse"]);
    let initial = [
        InitialState::Down,
        InitialState::FullyDown,
        InitialState::FullyUp,
        InitialState::Up,
    ];
    written(&initial, &["down", "fully_down", "fully_up", "up"]);
    let headers = [
        ProbeHeader::AsSessions,
        ProbeHeader::Never,
        ProbeHeader::V1,
        ProbeHeader::V2,
    ];
    written(&headers, &["as_sessions", "never", "v1", "v2"]);
    let workers = [Workers::CurrentRuntime, Workers::Threads(4)];
    assert_eq!(round_trip(&workers), r#"["current_runtime",{"threads":4}]"#);
    let parts = [
        KeyPart::ClientIp,
        KeyPart::ClientIpOctets,
        KeyPart::ClientIpText,
        KeyPart::ClientPort,
        KeyPart::LocalIpText,
        KeyPart::LocalPort,
        KeyPart::ServerName,
        KeyPart::text(":"),
    ];
    assert_eq!(
        round_trip(&parts),
        "[\"client_ip\",\"client_ip_octets\",\"client_ip_text\",\"client_port\",\"local_ip_text\",\"local_port\",\
         \"server_name\",{\"text\":\":\"}]"
    );
    let second = Duration::from_secs(1);
    let losses = [
        OnBackendLoss::Keep,
        OnBackendLoss::Close { spread: second },
        OnBackendLoss::Drain {
            within: second,
            spread: Duration::ZERO,
        },
    ];
    assert_eq!(
        round_trip(&losses),
        r#"["keep",{"close":{"spread":"1s"}},{"drain":{"within":"1s","spread":"0s"}}]"#
    );
    assert_eq!(read::<OnBackendLoss>("{drain: {within: 1s}}"), losses[2]);
}

#[test]
fn rates_and_sizes_are_written_as_people_do() {
    for (rate, text) in [
        (Rate::per_second(100), r#""100/s""#),
        (Rate::new(10, Duration::from_secs(60)), r#""10/m""#),
        (Rate::new(7, Duration::from_secs(3600)), r#""7/h""#),
        (Rate::new(1, Duration::from_millis(150)), r#""1/150ms""#),
        (
            Rate::per_second(100).burst(5),
            r#"{"rate":"100/s","burst":5}"#,
        ),
    ] {
        assert_eq!(round_trip(&rate), text);
    }
    let five_minutes = Rate::new(10, Duration::from_secs(300));
    assert_eq!(read::<Rate>("10/5m"), five_minutes);
    round_trip(&five_minutes);
    for (text, bytes) in [
        ("{download: 1}", 1),
        ("{download: 64KiB/s}", 65536),
        ("{download: 10 MB/s}", 10_000_000),
        ("{download: 1GiB}", 1 << 30),
    ] {
        let read: Bandwidth = read(text);
        assert_eq!(read.download.unwrap().get(), bytes, "{text}");
        round_trip(&read);
    }
    let options: SocketOptions = read("{receive_buffer: 256KiB, send_buffer: 1000}");
    assert_eq!(options.receive_buffer, Some(262_144));
    let text = round_trip(&options);
    assert!(
        text.contains(r#""receive_buffer":"256KiB","send_buffer":"1000B""#),
        "{text}"
    );
}

fn time() -> impl Strategy<Value = Duration> {
    (0..100_000_u64, 0..4_u32).prop_map(|(n, power)| Duration::from_micros(n * 1000_u64.pow(power)))
}

fn nonzero() -> impl Strategy<Value = u32> {
    1..u32::MAX
}

fn rate() -> impl Strategy<Value = Rate> {
    (nonzero(), time(), nonzero(), any::<bool>()).prop_map(|(number, time, burst, plain)| {
        let rate = Rate::new(number, time.max(Duration::from_micros(1)));
        if plain { rate } else { rate.burst(burst) }
    })
}

proptest! {
    #[test]
    fn any_settings_of_sessions_are_read_back(
        (connect, jitter) in (time(), time()),
        (idle, half, first, age) in (of(time()), of(time()), of(time()), of(time())),
        (tries, deadline, ends) in (of(nonzero()), of(time()), any::<bool>()),
        (up, down) in (of(1..u64::MAX), of(1..u64::MAX)),
        (buffer, count) in (of(any::<u32>()), of(any::<u32>())),
    ) {
        let timeouts = Timeouts::default()
            .connect(connect)
            .max_age_jitter(jitter)
            .idle(idle)
            .half_closed(half)
            .first_byte(first)
            .max_age(age);
        round_trip(&timeouts);
        round_trip(&Retry::default().tries(tries).deadline(deadline).ends_attempts(ends));
        round_trip(&Bandwidth::default().upload(up.unwrap_or(0)).download(down.unwrap_or(0)));
        let keepalive = Keepalive::default().idle(idle).interval(half).count(count);
        let buffer = buffer.map(|bytes| bytes as usize);
        let options = SocketOptions::default()
            .nodelay(ends)
            .keepalive(count.map(|_| keepalive))
            .user_timeout(first)
            .receive_buffer(buffer)
            .send_buffer(buffer);
        round_trip(&options);
    }

    #[test]
    fn any_limits_and_checks_are_read_back(
        rate in rate(),
        sessions in nonzero(),
        (interval, doubt, down) in (time(), of(time()), of(time())),
        (port, ip, named) in (of(any::<u16>()), any::<[u8; 4]>(), any::<bool>()),
    ) {
        round_trip(&rate);
        round_trip(&Limits::default().rate(rate).sessions(sessions as usize).excess(Excess::Refuse));
        let mut check = CheckSettings::default()
            .interval(interval)
            .interval_in_doubt(doubt)
            .interval_down(down)
            .port(port)
            .source(ip.into())
            .source([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into())
            .jitter(interval)
            .initial(InitialState::FullyDown)
            .header(ProbeHeader::V2);
        if named {
            check = check.name("a \"name\"");
        }
        round_trip(&check);
    }
}
