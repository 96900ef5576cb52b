//! The picture of the front page is what the command beside it writes.

use lb_core::policy::PolicyKind;

use crate::command_line::{policy_lab, text_of};

const COMMAND: &str =
    "cargo run --release -p policy_lab -- slow-node --svg examples/policy_lab/slow-node.svg";

const PICTURE: &str = include_str!("../../slow-node.svg");

#[test]
fn the_picture_is_that_of_the_command() {
    assert!(include_str!("../../../../README.md").contains(COMMAND));
    let dir = tempfile::tempdir().unwrap();
    let [page, svg] = ["page.html", "picture.svg"].map(|name| dir.path().join(name));
    let [out, to] = [&page, &svg].map(|path| path.to_str().unwrap());
    let run = policy_lab(&["slow-node", "--out", out, "--svg", to]);
    assert!(run.status.success(), "{}", text_of(&run.stderr));
    assert!(text_of(&run.stdout).contains(to));
    let written = std::fs::read_to_string(&svg).unwrap();
    // Other platforms may round logarithms in another way.
    let is_same = written == PICTURE || !cfg!(all(target_arch = "x86_64", target_os = "linux"));
    assert!(is_same, "the picture is another one now: {COMMAND}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("<html"));
}

#[test]
fn the_picture_stands_alone_and_names_every_policy() {
    for policy in PolicyKind::ALL {
        assert!(PICTURE.contains(&format!("\n{policy}\n")), "{policy}");
    }
    assert!(PICTURE.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
    assert_eq!(PICTURE.matches("</svg>").count(), 1);
    for text in ["<title>slow-node: ", "latency from arrival", "p99.9"] {
        assert!(PICTURE.contains(text), "{text}");
    }
    for placeholder in ["#010101", "#020202"] {
        assert!(!PICTURE.contains(placeholder), "{placeholder}");
    }
}
