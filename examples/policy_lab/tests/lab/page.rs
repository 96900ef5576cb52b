//! The page needs no other file.

use lb_core::policy::PolicyKind;
use policy_lab::{Run, Scenario, page, simulate};

fn page_of(name: &str) -> String {
    let scenario = Scenario::load(name).expect("built-in scenarios are right");
    let scenario = scenario.scale_load(0.1);
    let runs = PolicyKind::ALL.map(|policy| simulate(&scenario, policy.build(), 1));
    page(1, &[(scenario, runs.to_vec())]).expect("every run can be drawn")
}

#[test]
fn there_is_one_element_per_plot() {
    let policies = PolicyKind::ALL.len();
    // Latency, and for each policy shares and connections in flight.
    assert_eq!(page_of("even").matches("<svg ").count(), 1 + 2 * policies);
    // And the keys, where membership changes.
    let html = page_of("rolling-update");
    assert_eq!(html.matches("<svg ").count(), 2 + 2 * policies);
    assert_eq!(html.matches("</svg>").count(), 2 + 2 * policies);
}

#[test]
fn nothing_is_fetched_and_nothing_is_executed() {
    let html = page_of("rolling-update");
    for word in [
        "http:", "https:", "//", "<script", "<link", "<img", "<iframe", "src=", "@import", "url(",
        "onload",
    ] {
        assert!(!html.contains(word), "{word}");
    }
    for link in html.split("href=\"").skip(1) {
        assert!(link.starts_with('#'), "{link:.40}");
    }
}

#[test]
fn titles_are_text_and_not_markup() {
    let text = r#"
        title = "<b>&\"bold\"</b>"
        description = "<script>alert(1)</script>"
        duration = "1s"
        arrivals = { rate = 10 }
        backends = [{ name = "a", service = { constant = "1ms" } }]
    "#;
    let scenario = Scenario::parse("test", text).unwrap();
    let run = simulate(&scenario, PolicyKind::P2c.build(), 1);
    let html = page(1, &[(scenario, vec![run])]).unwrap();
    assert!(html.contains("&lt;b&gt;&amp;&quot;bold&quot;&lt;/b&gt;"));
    assert!(!html.contains("<script>"));
}

/// A run with `backend` as the only backend, under the label `label`, without retries.
fn run(label: &str, backend: &str) -> (Scenario, Run) {
    let text = format!(
        "duration = \"1s\"\narrivals = {{ rate = 200 }}\nretry = {{ tries = 1 }}\n\
         backends = [{{ name = \"a\", max_fails = 0, {backend} }}]"
    );
    let scenario = Scenario::parse("test", &text).expect("the scenario is right");
    let mut run = simulate(&scenario, PolicyKind::P2c.build(), 1);
    label.clone_into(&mut run.label);
    (scenario, run)
}

#[test]
fn a_policy_that_loses_connections_is_best_at_nothing() {
    let (scenario, none) = run("none", "service = { constant = \"9ms\" }");
    let (_, some) = run(
        "some",
        "service = { constant = \"1ms\" }, connect_fails = 0.5",
    );
    let (_, all) = run("all", "service = { constant = \"1ms\" }, absent = true");
    assert!(none.lost == 0 && some.lost > 0 && all.lost == all.arrivals);
    assert!(some.p99 < none.p99 && some.max_in_flight < none.max_in_flight);

    let result = (scenario, vec![none, some, all]);
    let html = page(1, &[result.clone(), result]).unwrap();
    let rows = |label: &str| -> Vec<&str> {
        let start = format!("<tr><td>{label}</td>");
        html.lines().filter(|row| row.starts_with(&start)).collect()
    };
    let bests = |label| rows(label).concat().matches("\"best\"").count();
    // Two in the overview, and in each of two tables: three latencies, connections in flight, share error.
    assert_eq!((bests("none"), bests("some"), bests("all")), (12, 0, 0));
    assert_eq!(
        rows("all").concat().matches("<td>–</td>").count(),
        2 + 2 * 4
    );
}

#[test]
fn a_page_of_losses_alone_can_be_drawn() {
    let (scenario, all) = run("all", "service = { constant = \"1ms\" }, absent = true");
    let html = page(1, &[(scenario, vec![all])]).unwrap();
    assert!(!html.contains("\"best\""));
}
