//! The binary and its command line.

use std::process::{Command, Output};

pub(crate) fn policy_lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy_lab"));
    let output = command.args(arguments).output();
    output.expect("the binary can be started")
}

pub(crate) fn text_of(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

#[test]
fn compares_the_named_policies_and_prints_the_path_of_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("lab.html");
    let out = out.to_str().unwrap();
    let run = policy_lab(&[
        "even",
        "--policies",
        "p2c,random",
        "--seed",
        "5",
        "--out",
        out,
    ]);
    let said = text_of(&run.stdout);
    assert!(run.status.success(), "{}", text_of(&run.stderr));
    assert!(said.contains("p99.9") && said.contains(out), "{said}");
    assert!(
        said.contains("p2c") && !said.contains("least_conn"),
        "{said}"
    );
    assert!(std::fs::read_to_string(out).unwrap().contains("seed 5"));
}

#[test]
fn variants_are_compared_with_the_policies_that_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("own.toml");
    let text = r#"
        duration = "1s"
        arrivals = { rate = 100 }
        variants = [{ label = "bounded", policy = { maglev = { balance_factor = 125 } } }]
        backends = [{ name = "a", count = 3, service = { constant = "1ms" } }]
    "#;
    std::fs::write(&file, text).unwrap();
    let out = dir.path().join("lab.html");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let rows = |arguments: &[&str]| -> Vec<String> {
        let run = policy_lab(&[&[file, "--out", out], arguments].concat());
        assert!(run.status.success(), "{}", text_of(&run.stderr));
        let rows = text_of(&run.stdout)
            .lines()
            .filter(|line| line.contains(" ms"));
        rows.filter_map(|row| row.split_whitespace().next().map(str::to_owned))
            .collect()
    };
    assert_eq!(rows(&[]), ["bounded"]);
    assert_eq!(
        rows(&["--policies", "maglev,p2c,maglev", "--policies", "p2c"]),
        ["maglev", "p2c", "bounded"]
    );
    let help = policy_lab(&["--help"]);
    assert!(
        text_of(&help.stdout)
            .contains("for comparison under the policies of --policies with their defaults")
    );
}

#[test]
fn without_samples_there_is_no_latency() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.toml");
    let text = r#"
        duration = "1s"
        arrivals = { rate = 100 }
        backends = [{ name = "a", absent = true, service = { constant = "1ms" } }]
    "#;
    std::fs::write(&file, text).unwrap();
    let out = dir.path().join("lab.html");
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let run = policy_lab(&[file, "--policies", "p2c", "--out", out]);
    assert!(run.status.success(), "{}", text_of(&run.stderr));
    let row = text_of(&run.stdout)
        .lines()
        .find(|row| row.starts_with("p2c"));
    let row: Vec<&str> = row.unwrap().split_whitespace().collect();
    assert_eq!(row[..5], ["p2c", "–", "–", "–", "0"]);
}

#[test]
fn lists_scenarios_and_policies() {
    let run = policy_lab(&["--list"]);
    let said = text_of(&run.stdout);
    assert!(
        said.contains("slow-node") && said.contains("least_conn"),
        "{said}"
    );
}

#[test]
fn prints_a_scenario_to_start_from() {
    let run = policy_lab(&["--print", "even"]);
    assert!(run.status.success(), "{}", text_of(&run.stderr));
    assert_eq!(
        text_of(&run.stdout),
        include_str!("../../scenarios/even.toml")
    );
}

#[test]
fn errors_name_the_fix_and_exit_with_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "duration = 5").unwrap();
    for (arguments, way_out) in [
        (&["nowhere.toml"][..], "built-in scenarios: even"),
        (&[file.to_str().unwrap()], "bad.toml:1:12"),
        (
            &[dir.path().to_str().unwrap()],
            "give a file that can be read",
        ),
        (&["--print", "evn"], "choose one of even, mixed-weights"),
        (&["even", "--policies", "fastest"], "least_conn"),
        (
            &["even", "--out", "/nonexistent/lab.html"],
            "choose another place with --out",
        ),
        (&["--svg", "lab.svg"], "policy_lab slow-node --svg lab.svg"),
    ] {
        let run = policy_lab(arguments);
        assert!(!run.status.success(), "{arguments:?}");
        let said = text_of(&run.stderr);
        assert!(said.contains(way_out), "{said}");
    }
}
