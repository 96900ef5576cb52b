//! The page stands alone.

use lb_core::policy::PolicyKind;
use policy_lab::{Scenario, page, simulate};

fn page_of(name: &str) -> String {
    let scenario = Scenario::load(name).expect("built-in scenarios are right");
    let scenario = scenario.with_load(0.1);
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
