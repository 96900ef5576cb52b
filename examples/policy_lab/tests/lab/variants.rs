//! Variants: errors name the place and the fix, and the page shows labels and settings.

use crate::support::error;
use lb_core::policy::PolicyKind;
use policy_lab::{Scenario, page, simulate, simulate_variant};

const VARIANTS: &str = r#"duration = "2s"
arrivals = { rate = 50 }

[balancer]
outlier_detection = { consecutive_failures = 2, base_ejection = "100ms", max_jitter = "1500us", max_ejected_percent = 50 }
overprovisioning = 140
panic_threshold = 50
slow_start = { window = "500ms", min_percent = 5, aggression = 2 }

[[variants]]
label = "bounded"
policy = { maglev = { table_size = 251, balance_factor = 150 } }

[[variants]]
label = "of zone x"
policy = { ring_hash = { min_size = 64, max_size = 128 } }
balancer = { slow_start = false, subset = { index = 3, size = 2 }, zone = { zone = "x" } }

[[backends]]
name = "a"
zone = "x"
priority = 0
service = { constant = "1ms" }
"#;

#[test]
fn errors_name_the_place_and_the_fix() {
    for (from, to, said) in [
        (
            "label = \"of zone x\"",
            "label = \"bounded\"",
            "lab.toml:15:9: \"bounded\" is the name of another variant already: choose another label",
        ),
        (
            "label = \"bounded\"",
            "label = \"p2c\"",
            "lab.toml:11:9: \"p2c\" is the name of a policy with its defaults already",
        ),
        (
            "label = \"bounded\"",
            "label = \" \"",
            "lab.toml:11:9: a label has 1 to 32 characters",
        ),
        (
            "label = \"bounded\"",
            "label = \"a label of thirty-three characters\"",
            "a label has 1 to 32 characters",
        ),
        (
            "label = \"bounded\"",
            "label = \"a\\nb\"",
            "a label has 1 to 32 characters on one line",
        ),
        ("label = \"bounded\"", "", "missing field `label`"),
        (
            "policy = { maglev",
            "policy = { magle",
            "lab.toml:12:12: no policy is called \"magle\": use one of first, ketama",
        ),
        (
            "policy = { maglev",
            "policy = { rendezvous",
            "lab.toml:12:27: unknown field `table_size`, expected `balance_factor`",
        ),
        (
            "{ ring_hash = { min_size = 64, max_size = 128 } }",
            "\"fastest\"",
            "no policy is called \"fastest\"",
        ),
        (
            "{ ring_hash = { min_size = 64, max_size = 128 } }",
            "{ p2c = {}, first = {} }",
            "\"p2c\" and \"first\" are two policies: name one",
        ),
        (
            "table_size = 251",
            "slots = 251",
            "lab.toml:12:23: unknown field `slots`, expected",
        ),
        (
            "table_size = 251",
            "table_size = 655372",
            "lab.toml:12:36: a table cannot have 655372 slots: use a prime up to 5000011",
        ),
        (
            "balance_factor = 150",
            "balance_factor = 100",
            "lab.toml:12:58: 100 % is no balance factor: write a percentage from 101",
        ),
        (
            "min_size = 64",
            "min_size = 129",
            "a ring cannot have 129 to 128 points",
        ),
        (
            "max_size = 128",
            "max_size = 8388609",
            "the limit is 8388608",
        ),
        (
            "overprovisioning = 140",
            "overprovisioning = 99",
            "lab.toml:6:20: invalid value: integer `99`, expected a whole percentage from 100 to 65535",
        ),
        (
            "panic_threshold = 50",
            "panic_threshold = 101",
            "lab.toml:7:19: invalid value: integer `101`, expected a whole percentage from 0 to 100",
        ),
        (
            "panic_threshold = 50",
            "panic_threshold = true",
            "lab.toml:7:19: invalid value: boolean `true`, expected its settings, or false to switch it off",
        ),
        (
            "panic_threshold = 50",
            "panic_treshold = 50",
            "lab.toml:7:1: unknown field `panic_treshold`, expected one of",
        ),
        (
            "window = \"500ms\"",
            "window = \"500\"",
            "lab.toml:8:25: invalid value: string \"500\", expected a time with its unit",
        ),
        ("window = \"500ms\", ", "", "missing field `window`"),
        (
            "aggression = 2",
            "aggression = 0",
            "lab.toml:8:64: invalid value: floating point `0.0`, expected a number above 0",
        ),
        (
            "consecutive_failures = 2",
            "consecutive_failures = 0",
            "lab.toml:5:46: invalid value",
        ),
        (
            "max_ejected_percent = 50",
            "max_ejected = 50",
            "unknown field `max_ejected`, expected one of `",
        ),
        (
            "panic_threshold = 50",
            "on_all_ejected = \"refuses\"",
            "lab.toml:7:18: unknown variant `refuses`, expected `refuse` or `try`",
        ),
        (
            "panic_threshold = 50",
            "fail_limits = { all = { max_fails = 0 } }",
            "nonzero u32",
        ),
        (
            "subset = { index = 3, size = 2 }",
            "subset = { index = 3 }",
            "missing field `size`",
        ),
        (
            "zone = { zone = \"x\" }",
            "zone = { zone = \"y\" }",
            "no backend is in the zone \"y\": the zones are x",
        ),
        (
            "zone = \"x\"\npriority",
            "priority",
            "no backend is in the zone \"x\": add zone = NAME to the groups of its backends",
        ),
        (
            "zone = \"x\"\npriority",
            "zone = \"\"\npriority",
            "a name has 1 to 40 letters",
        ),
        (
            "priority = 0",
            "priority = 256",
            "lab.toml:22:12: invalid value",
        ),
        (
            "priority = 0",
            "priority = 2\nbackup = true",
            "lab.toml:22:12: \"backup\" is the priority 1: remove one of them",
        ),
    ] {
        let error = error(VARIANTS, from, to);
        assert!(error.contains(said), "{to}: {error}");
    }
    let ketama = "label = \"k\"\npolicy = { ketama = { max_points = 8388609 } }\n[[variants]]\nlabel = \"bounded\"";
    let said = error(VARIANTS, "label = \"bounded\"", ketama);
    assert!(said.contains("use at most 8388608 points"), "{said}");
    let many: String = (0..20)
        .map(|n| format!("label = \"{n}\"\npolicy = \"p2c\"\n[[variants]]\n"))
        .collect();
    let said = error(
        VARIANTS,
        "label = \"bounded\"",
        &format!("{many}label = \"bounded\""),
    );
    assert!(said.contains("use at most 20 variants"), "{said}");
}

#[test]
fn the_examples_of_the_documentation_can_be_read() {
    let documentation = include_str!("../../src/scenario/mod.rs");
    let lines = documentation
        .lines()
        .filter_map(|line| line.strip_prefix("///"));
    let shown: Vec<&str> = lines.skip_while(|line| *line != " # Variants").collect();
    let shown = shown.join("\n");
    let toml = shown
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let toml = toml.expect("the variants have an example");
    let text = format!(
        "duration = \"1s\"\narrivals = {{ rate = 10 }}\n\
         backends = [{{ name = \"a\", zone = \"a\", service = {{ constant = \"1ms\" }} }}]\n{toml}"
    );
    let scenario = Scenario::parse("documentation", &text).unwrap();
    assert_eq!(scenario.variants().len(), 4);
}

#[test]
fn the_names_of_envoy_and_haproxy_mean_the_same() {
    let ours = r#"
        policy = { maglev = { balance_factor = 150 } }
        [variants.balancer]
        outlier_detection = { consecutive_failures = 3, base_ejection = "1s", max_ejection = "9s", max_jitter = "2s", max_ejected_percent = 20 }
        overprovisioning = 150
        panic_threshold = 30
        slow_start = { window = "3s", min_percent = 20 }
    "#;
    let theirs = ours
        .replace("balance_factor", "hash_balance_factor")
        .replace("consecutive_failures", "consecutive_5xx")
        .replace("base_ejection", "base_ejection_time")
        .replace("max_ejection", "max_ejection_time")
        .replace("max_jitter", "max_ejection_time_jitter")
        .replace("max_ejected_percent", "max_ejection_percent")
        .replace("overprovisioning", "overprovisioning_factor")
        .replace("panic_threshold", "healthy_panic_threshold")
        .replace("slow_start", "slow_start_config")
        .replace("window", "slow_start_window")
        .replace("min_percent", "min_weight_percent");
    let page_of = |settings: &str| {
        let text = format!(
            "title = \"t\"\nduration = \"1s\"\narrivals = {{ rate = 10 }}\n\
             backends = [{{ name = \"a\", service = {{ constant = \"1ms\" }} }}]\n\
             [[variants]]\nlabel = \"v\"\n{settings}"
        );
        let scenario = Scenario::parse("test", &text).unwrap();
        let run = simulate_variant(&scenario, &scenario.variants()[0], 1);
        page(1, &[(scenario, vec![run])]).unwrap()
    };
    assert_eq!(page_of(ours), page_of(&theirs));
}

#[test]
fn the_page_has_the_labels_everywhere_and_the_settings_once() {
    let text = VARIANTS
        .replace("bounded", "<b> & \"c\"")
        .replace("label = \"<b> & \"c\"\"", "label = '<b> & \"c\"'");
    let text =
        format!("{text}[[events]]\nat = \"1s\"\naction = \"weight\"\nweight = 2\ntarget = \"a\"");
    let scenario = Scenario::parse("test", &text).unwrap();
    let mut runs = vec![simulate(&scenario, PolicyKind::P2c.build(), 1)];
    runs.extend(
        scenario
            .variants()
            .iter()
            .map(|variant| simulate_variant(&scenario, variant, 1)),
    );
    let html = page(1, &[(scenario, runs)]).unwrap();
    assert!(!html.contains("<b>"));
    for (label, settings) in [
        ("&lt;b&gt; &amp; &quot;c&quot;", 1),
        ("of zone x", 1),
        ("p2c", 0),
    ] {
        // Latency, keys, and the titles and descriptions of two panels; the two tables; the settings.
        let expected = 1 + 1 + 2 + 2 + 2 + settings;
        let found = html.matches(label).count();
        assert!(found >= expected, "{label}: {found} of {expected}");
    }
    for said in [
        "policy = &quot;maglev&quot;",
        "table_size = 251",
        "balance_factor = 150",
        "min_size = 64",
        "max_size = 128",
        "balancer.slow_start = false",
        "balancer.subset = { index = 3, size = 2 }",
        "balancer.zone = { zone = &quot;x&quot;, overprovisioning = 140, min_backends = 1 }",
        "panic_threshold = 50",
        "overprovisioning = 140<",
        "slow_start = { window = &quot;500ms&quot;, min_percent = 5, aggression = 2.0 }",
        "outlier_detection = { consecutive_failures = 2, base_ejection = &quot;100ms&quot;, max_ejection = &quot;5m&quot;, \
         max_jitter = &quot;1500us&quot;, max_ejected_percent = 50, interval = &quot;10s&quot; }",
    ] {
        assert_eq!(html.matches(said).count(), 1, "{said}");
    }
}

#[test]
fn the_overview_compares_variants_of_several_scenarios() {
    let scenario = |title: &str, label: &str| {
        let text = format!(
            "title = \"{title}\"\n{}",
            VARIANTS.replace("of zone x", label)
        );
        let scenario = Scenario::parse("test", &text).unwrap();
        let run = |variant| simulate_variant(&scenario, variant, 1);
        let runs = scenario.variants().iter().map(run).collect();
        (scenario, runs)
    };
    let overview = |results: &[_]| {
        let html = page(1, results).unwrap();
        let table = html.split("<section").next().unwrap();
        let table = table.split("<table>").nth(1).unwrap_or_default();
        (table.matches("<tr>").count(), table.contains("only here"))
    };
    let results = [scenario("one", "only here"), scenario("two", "only there")];
    // The head, and "bounded".
    assert_eq!(overview(&results), (2, false));
    assert_eq!(overview(&results[..1]), (0, false));
}
