//! The binary as a user runs it.

use std::process::{Command, Output};

fn policy_lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_policy_lab"));
    let output = command.args(arguments).output();
    output.expect("the binary can be started")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is text")
}

#[test]
fn compares_chosen_policies_and_says_where_the_page_is() {
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
    let said = text(&run.stdout);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(said.contains("p99.9") && said.contains(out), "{said}");
    assert!(
        said.contains("p2c") && !said.contains("least_conn"),
        "{said}"
    );
    assert!(std::fs::read_to_string(out).unwrap().contains("seed 5"));
}

#[test]
fn lists_what_there_is() {
    let run = policy_lab(&["--list"]);
    let said = text(&run.stdout);
    assert!(
        said.contains("slow-node") && said.contains("least_conn"),
        "{said}"
    );
}

#[test]
fn errors_end_with_a_failure_and_a_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.toml");
    std::fs::write(&file, "duration = 5").unwrap();
    for (arguments, way_out) in [
        (&["nowhere.toml"][..], "built-in scenarios: even"),
        (&[file.to_str().unwrap()], "bad.toml:1:12"),
        (&["even", "--policies", "fastest"], "least_conn"),
        (
            &["even", "--out", "/nonexistent/lab.html"],
            "choose another place with --out",
        ),
    ] {
        let run = policy_lab(arguments);
        assert!(!run.status.success(), "{arguments:?}");
        let said = text(&run.stderr);
        assert!(said.contains(way_out), "{said}");
    }
}
