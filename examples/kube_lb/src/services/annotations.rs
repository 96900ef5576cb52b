//! The annotations of a Service.

use std::collections::BTreeMap;
use std::time::Duration;

use lb_proxy::health::HttpCheck;
use lb_proxy::lb_core::policy::PolicyKind;

use super::problems::{AnnotationProblem, Problems};
use super::settings::{IdleTimeout, ServiceSettings};
use crate::names::{DOMAIN, qualified};
use crate::plan::{CheckKind, DrainPlan, ProxyHeader, Reach};
use crate::units;

/// The most addresses that a Service may request, as a Gateway: one Service must not take a whole pool.
const MOST_ADDRESSES: usize = 16;

/// The shortest time between two probes: one annotation must not make every replica connect to each pod all the time.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// The longest text of an annotation that is a name or a path.
const LONGEST_NAME: usize = 1024;

/// An annotation.
#[derive(Clone, Copy, Debug)]
pub struct Annotation {
    /// Its name behind the prefix.
    pub name: &'static str,
    /// What may be written.
    pub values: &'static str,
    /// What applies without it.
    pub default: &'static str,
    /// What it does.
    pub meaning: &'static str,
    read: fn(&str, &mut ServiceSettings) -> Result<(), String>,
    /// Takes the value over from other settings.
    restore: fn(&ServiceSettings, &mut ServiceSettings),
}

macro_rules! annotations {
    ($($name:literal $field:ident, $values:literal, $default:literal, $meaning:literal, $read:expr;)*) => {
        /// All annotations.
        pub const ALL: &[Annotation] = &[$(Annotation {
            name: $name,
            values: $values,
            default: $default,
            meaning: $meaning,
            read: $read,
            restore: |from, to| to.$field = from.$field.clone(),
        },)*];
    };
}

annotations! {
    "addresses" addresses, "addresses, separated by commas", "one of a pool for each family of `ipFamilies`",
        "Requests these addresses, at most 16, which a pool must have. Wins over `spec.loadBalancerIP`.",
        |text, settings| {
            let all = text.split(',').take(MOST_ADDRESSES + 1).map(|part| part.trim().parse());
            let all: Result<Vec<_>, _> = all.collect();
            let all = all.map_err(|_| wrong(text, "an IP address, or several with commas between them"))?;
            if all.len() > MOST_ADDRESSES {
                return Err(format!("a Service may request {MOST_ADDRESSES} addresses"));
            }
            settings.addresses = all;
            Ok(())
        };
    "pool" pool, "a name", "any pool with `automatic: true`",
        "Chooses addresses from this pool.",
        |text, settings| {
            if text.len() > LONGEST_NAME {
                return Err(wrong(text, "the name of a pool"));
            }
            settings.pool = Some(text.to_owned());
            Ok(())
        };
    "backends" reach, "`pods`, `nodes`", "`backends` of the configuration: `pods`",
        "Connects to pods at their own addresses, or to nodes at the node port. With `externalTrafficPolicy: Local` nodes are weighted by their ready pods.",
        |text, settings| {
            settings.reach = Some(match text {
                "pods" => Reach::Pods,
                "nodes" => Reach::Nodes,
                _ => return Err(wrong(text, "pods or nodes")),
            });
            Ok(())
        };
    "policy" policy, "a policy of lb-core, such as `least_conn`", "`weighted_round_robin`; `maglev` with `sessionAffinity: ClientIP`",
        "Picks backends. Policies that hash take the client's address.",
        |text, settings| {
            let kind = short(text).parse::<PolicyKind>();
            settings.policy = Some(kind.map_err(|unknown| unknown.to_string())?);
            Ok(())
        };
    "proxy-protocol" proxy_header, "`v1`, `v2`", "none",
        "Sends backends the client's address in a PROXY header. They must expect it.",
        |text, settings| {
            settings.proxy_header = Some(match text {
                "v1" => ProxyHeader::V1,
                "v2" => ProxyHeader::V2,
                _ => return Err(wrong(text, "v1 or v2")),
            });
            Ok(())
        };
    "connect-timeout" connect_timeout, "a time", "`5s`",
        "Limits one attempt to connect to a backend. Then the next backend is tried.",
        |text, settings| { settings.connect_timeout = Some(time(text)?); Ok(()) };
    "connect-tries" connect_tries, "a number", "every backend once",
        "Limits the attempts of one session.",
        |text, settings| { settings.connect_tries = Some(number(text)?); Ok(()) };
    "idle-timeout" idle_timeout, "a time, or `off`", "`10m`",
        "Ends sessions in which no byte moves for this time.",
        |text, settings| {
            settings.idle_timeout = Some(match text {
                "off" => IdleTimeout::Never,
                text => IdleTimeout::After(time(text)?),
            });
            Ok(())
        };
    "client-sessions" client_sessions, "a number", "no limit",
        "Limits the sessions of one client address at a time, for each port of the Service. Of IPv6, 64 bits are one client.",
        |text, settings| { settings.client_sessions = Some(number(text)?); Ok(()) };
    "client-rate" client_rate, "a number", "no limit",
        "Limits the new connections of one client address a second, for each port of the Service.",
        |text, settings| { settings.client_rate = Some(number(text)?); Ok(()) };
    "health-check" check, "`tcp`, `http:/PATH`", "none: readiness of the pods, and failed connections",
        "Probes every backend by connecting, or by a GET that must be answered with 2xx or 3xx.",
        |text, settings| {
            settings.check = Some(match text.split_once(':') {
                None if text == "tcp" => CheckKind::Tcp,
                Some(("http", path)) if path.len() <= LONGEST_NAME => {
                    let _ = HttpCheck::try_new(path).map_err(|error| error.to_string())?;
                    CheckKind::Http(path.to_owned())
                }
                _ => return Err(wrong(text, "tcp or http:/PATH")),
            });
            Ok(())
        };
    "health-check-interval" check_interval, "a time", "`5s`",
        "The time between two probes of a backend, at least `100ms`.",
        |text, settings| {
            let interval = time(text)?;
            if interval < SHORTEST_INTERVAL {
                return Err(wrong(text, "a time of at least 100ms"));
            }
            settings.check_interval = Some(interval);
            Ok(())
        };
    "drain" drain, "a time, or `off`", "`off`: sessions go on until they end",
        "Limits how long sessions go on after their backend was removed.",
        |text, settings| {
            settings.drain = Some(match text {
                "off" => DrainPlan::Keep,
                text => DrainPlan::Within(time(text)?),
            });
            Ok(())
        };
    "port-drain" port_drain, "a time", "no limit",
        "Limits how long sessions go on after their port, or the Service, was removed.",
        |text, settings| { settings.port_drain = Some(time(text)?); Ok(()) };
}

/// Reads the annotations of a Service. An invalid one has no effect: then what `previous` says applies, which is the last valid
/// value that the program has seen.
pub fn read(
    annotations: &BTreeMap<String, String>,
    previous: Option<&ServiceSettings>,
) -> (ServiceSettings, Problems) {
    let mut settings = ServiceSettings::default();
    let mut problems = Problems::default();
    for (name, text) in annotations {
        let Some(short_name) = name.strip_prefix(DOMAIN).and_then(|n| n.strip_prefix('/')) else {
            continue;
        };
        let Some(known) = ALL.iter().find(|known| known.name == short_name) else {
            problems.add(|| AnnotationProblem {
                name: short(name),
                problem: unknown(),
            });
            continue;
        };
        if let Err(problem) = (known.read)(text.trim(), &mut settings) {
            problems.add(|| AnnotationProblem {
                name: short(name),
                problem,
            });
            if let Some(previous) = previous {
                (known.restore)(previous, &mut settings);
            }
        }
    }
    (settings, problems)
}

/// The table of all annotations, as the README has it.
pub fn table() -> String {
    let mut text = String::from("| annotation | values | default | meaning |\n|---|---|---|---|\n");
    for Annotation {
        name,
        values,
        default,
        meaning,
        ..
    } in ALL
    {
        let name = qualified(name);
        text += &format!("| `{name}` | {values} | {default} | {meaning} |\n");
    }
    text
}

fn time(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|error| error.to_string())
}

fn number(text: &str) -> Result<std::num::NonZeroU32, String> {
    text.parse()
        .map_err(|_| wrong(text, "a whole number above zero"))
}

fn wrong(text: &str, expected: &str) -> String {
    format!("{:?} is not valid: write {expected}", short(text))
}

fn unknown() -> String {
    let names: Vec<_> = ALL.iter().map(|known| known.name).collect();
    format!(
        "there is no such annotation; there are {}",
        names.join(", ")
    )
}

/// The beginning of a text of any length.
fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
