//! `completions`, `man`, and a command line that is wrong.

use std::process::Command;

use super::operator;

#[test]
fn the_shells_get_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let script = operator(&["completions", shell]).stdout(0);
        for word in ["explain", "token-file", "drain"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    operator(&["completions", "csh"]).stderr(2);
}

/// Completes the last of `words` in bash.
fn completed(words: &[&str]) -> Vec<String> {
    let script = operator(&["completions", "bash"]).stdout(0);
    let words = words.join(" ");
    let last = words.split(' ').count() - 1;
    let text = format!(
        "{script}\nCOMP_WORDS=({words})\nCOMP_CWORD={last}\n_nginx_like nginx_like \"${{COMP_WORDS[{last}]}}\" \"\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let output = Command::new("bash")
        .args(["--norc", "-c", &text])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_subcommands_and_their_options() {
    assert_eq!(completed(&["nginx_like", "expl"]), ["explain"]);
    assert_eq!(completed(&["nginx_like", "status", "--up"]), ["--upstream"]);
    assert_eq!(completed(&["nginx_like", "completions", "b"]), ["bash"]);
}

#[test]
fn each_subcommand_has_a_man_page() {
    let page = operator(&["man"]).stdout(0);
    for text in [
        ".TH nginx_like 8",
        "SIGHUP",
        "LB_ADMIN",
        "lb_admin",
        "EXIT STATUS",
        "nginx_like\\-drain(8)",
    ] {
        assert!(page.contains(text), "{text} is not in\n{page}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    operator(&["man", "--dir", path]).stdout(0);
    assert_eq!(
        std::fs::read_to_string(dir.path().join("nginx_like.8")).unwrap(),
        page
    );
    let status = std::fs::read_to_string(dir.path().join("nginx_like-status.8")).unwrap();
    assert!(status.contains("\\-\\-watch"), "{status}");
    let failed = operator(&["man", "--dir", "/no/such"]).stderr(1);
    assert!(
        failed.contains("open() \"/no/such/nginx_like.8\" failed (2"),
        "{failed}"
    );
}

#[test]
fn a_wrong_command_line_has_the_exit_code_of_its_kind() {
    for wrong in [
        &["status", "--bogus"][..],
        &["drain", "u"],
        &["explain"],
        &["-t", "status"],
        &["-s", "reload", "status"],
        &["compare", "unix:/a"],
    ] {
        let text = operator(wrong).stderr(2);
        assert!(text.starts_with("error: "), "{text}");
    }
    for (wrong, named) in [
        (&["explain"][..], "--listener <ADDRESS>"),
        (&["close"], "--id <NUMBER>"),
        (&["log-level", "loud"], "default"),
    ] {
        let text = operator(wrong).stderr(2);
        assert!(text.contains(named), "{text}");
    }
    let mistyped = operator(&["statuss"]).stderr(2);
    assert!(mistyped.contains("'status'"), "{mistyped}");
    // nginx's.
    operator(&["-x"]).stderr(1);
    for help in [
        &["status", "-h"][..],
        &["drain", "-?"],
        &["close", "--help"],
    ] {
        let text = operator(help).stdout(0);
        assert!(text.contains("Usage: nginx_like "), "{text}");
    }
}
