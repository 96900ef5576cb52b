//! The tables of rejected pieces, compared with a real nginx 1.22. It only checks them, and starts no server.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
    process::Command,
};

use super::rejected::{AS_NGINX, OURS};
use super::{In, NAME};

/// The error of nginx about a piece of configuration, if it has any.
fn ask(nginx: &OsStr, dir: &Path, place: In, text: &str) -> Option<String> {
    let events = match place {
        In::Events => "",
        _ => "events { }",
    };
    let module = "load_module /usr/lib/nginx/modules/ngx_stream_module.so;";
    let main = format!("{module} error_log stderr; {events} include {NAME};");
    fs::write(dir.join("main.conf"), main).unwrap();
    fs::write(dir.join(NAME), place.wrap(text)).unwrap();
    let mut command = Command::new(nginx);
    command
        .arg("-t")
        .arg("-p")
        .arg(dir)
        .arg("-c")
        .arg(dir.join("main.conf"));
    command
        .arg("-g")
        .arg(format!("pid {};", dir.join("pid").display()));
    let output = command.output().expect("nginx is installed");
    let stderr = String::from_utf8(output.stderr).unwrap();
    // DATE TIME [emerg] PID#PID: MESSAGE
    let message = stderr.lines().find_map(|line| line.split_once("[emerg] "));
    let (_, message) = message.and_then(|(_, rest)| rest.split_once(": "))?;
    Some(message.replace(&format!("{}/", dir.display()), ""))
}

/// The nginx to compare with, or none, with a notice.
fn nginx() -> Option<OsString> {
    let nginx = env::var_os("LB_TEST_NGINX");
    if nginx.is_none() {
        eprintln!(
            "skipped: LB_TEST_NGINX does not name an nginx 1.22 with a dynamic stream module"
        );
    }
    nginx
}

#[test]
fn nginx_has_the_same_words() {
    let Some(nginx) = nginx() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for &(place, text, line, error) in AS_NGINX {
        let ours = Some(format!("{error} in {NAME}:{line}"));
        let theirs = ask(&nginx, dir.path(), place, text);
        if ours != theirs {
            differ.push(format!("{text}\n  ours: {ours:?}\n  nginx: {theirs:?}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

#[test]
fn nginx_differs_as_listed() {
    let Some(nginx) = nginx() else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for &(place, text, _, _, expected) in OURS {
        let error = ask(&nginx, dir.path(), place, text);
        let error = error
            .as_deref()
            .map(|error| error.split(" in test.conf:").next().unwrap());
        if error != expected {
            differ.push(format!(
                "{text}\n  listed: {expected:?}\n  nginx: {error:?}"
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}
