//! Includes, with real files.

use std::{error::Error, ffi::OsStr, fs, io, os::unix::ffi::OsStrExt, path::Path};

use tempfile::TempDir;

use crate::config::error_log::LogTarget;
use crate::config::main::Config;

/// Makes a directory with some files.
fn files(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// Loads `conf/main.conf` of a directory; its names are shown without the directory.
fn load(dir: &TempDir) -> Result<Config, String> {
    let strip = |text: String| text.replace(&format!("{}/", dir.path().display()), "");
    Config::load(Path::new("conf/main.conf"), dir.path()).map_err(|error| strip(error.to_string()))
}

/// The names of the upstreams.
fn upstreams(dir: &TempDir) -> Vec<String> {
    let stream = load(dir).unwrap().stream.unwrap();
    stream
        .upstreams
        .into_iter()
        .map(|upstream| upstream.name)
        .collect()
}

fn upstream(name: &str) -> String {
    format!("upstream {name} {{ server a:1; }}")
}

#[test]
fn an_include_may_stand_in_every_block() {
    let dir = files(&[
        (
            "conf/main.conf",
            "include stream.conf;\nevents { include events.conf; }",
        ),
        (
            "conf/stream.conf",
            "stream { upstream u { include servers; } }",
        ),
        ("conf/servers", "server a:1;\nserver b:1;"),
        ("conf/events.conf", "worker_connections 7;"),
    ]);
    let config = load(&dir).unwrap();
    assert_eq!(config.worker_connections.get(), 7);
    let servers = &config.stream.unwrap().upstreams[0].servers;
    assert_eq!(servers.len(), 2);
    let span = &servers[1].span;
    assert_eq!(
        (&*span.file, span.line),
        (dir.path().join("conf/servers").as_path(), 2)
    );
}

#[test]
fn names_start_from_the_main_file() {
    let dir = files(&[
        ("conf/main.conf", "include sub/one.conf;"),
        ("conf/sub/one.conf", "include sub/two.conf;"),
        ("conf/sub/two.conf", "error_log logs/a;"),
    ]);
    let config = load(&dir).unwrap();
    // Logs, however, start from the prefix.
    assert_eq!(
        config.error_logs[0].target,
        LogTarget::File(dir.path().join("logs/a"))
    );
}

#[test]
fn absolute_names_are_taken_as_they_are() {
    let other = files(&[("a.conf", &upstream("a"))]);
    let include = format!("stream {{ include {}/*.conf; }}", other.path().display());
    let dir = files(&[("conf/main.conf", &include)]);
    assert_eq!(upstreams(&dir), ["a"]);
}

#[test]
fn wildcards_are_sorted() {
    let dir = files(&[
        (
            "conf/main.conf",
            "stream { include d/**.conf; include [!d]/?-1.conf; }",
        ),
        ("conf/d/b.conf", &upstream("b")),
        ("conf/d/a.conf", &upstream("a")),
        ("conf/d/10.conf", &upstream("ten")),
        ("conf/d/.hidden.conf", &upstream("hidden")),
        ("conf/d/c.conf.bak", &upstream("backup")),
        ("conf/d/sub/d.conf", &upstream("too_deep")),
        ("conf/e/e-1.conf", &upstream("e")),
    ]);
    assert_eq!(upstreams(&dir), ["ten", "a", "b", "e"]);
}

#[test]
fn wildcards_may_match_nothing() {
    let dir = files(&[("conf/main.conf", "include none/*.conf; include n?ne;")]);
    assert!(load(&dir).is_ok());
}

#[test]
fn wildcards_in_the_directory_are_none() {
    let dir = files(&[
        ("[x]*/conf/main.conf", "stream { include *.inc; }"),
        ("[x]*/conf/a.inc", &upstream("a")),
    ]);
    let prefix = dir.path().join("[x]*");
    let config = Config::load(Path::new("conf/main.conf"), &prefix).unwrap();
    assert_eq!(config.stream.unwrap().upstreams.len(), 1);
}

#[test]
fn a_file_must_end_what_it_starts() {
    for (text, error) in [
        ("}", "unexpected \"}\" in conf/a.conf:1"),
        (
            "upstream u {",
            "unexpected end of file, expecting \"}\" in conf/a.conf:1",
        ),
        (
            "\nserver",
            "unexpected end of file, expecting \";\" or \"}\" in conf/a.conf:2",
        ),
    ] {
        let dir = files(&[
            ("conf/main.conf", "stream { include a.conf; }"),
            ("conf/a.conf", text),
        ]);
        assert_eq!(load(&dir).unwrap_err(), error);
    }
}

#[test]
fn missing_files_are_errors() {
    let dir = files(&[("conf/main.conf", "\ninclude none.conf;")]);
    let error =
        "open() \"conf/none.conf\" failed (2: No such file or directory) in conf/main.conf:2";
    assert_eq!(load(&dir).unwrap_err(), error);

    let dir = files(&[]);
    let error = "open() \"conf/main.conf\" failed (2: No such file or directory)";
    assert_eq!(load(&dir).unwrap_err(), error);
    let error = Config::load(Path::new("none"), dir.path()).unwrap_err();
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .unwrap();
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
    assert_eq!(error.span(), None);
}

#[test]
fn directories_are_no_files() {
    let dir = files(&[("conf/main.conf", "include d;"), ("conf/d/a.conf", "")]);
    let error = "read() \"conf/d\" failed (21: Is a directory) in conf/main.conf:1";
    assert_eq!(load(&dir).unwrap_err(), error);
}

#[test]
fn wildcards_mean_what_they_mean_in_nginx() {
    for (include, expected) in [
        ("d/[^a].conf", &["caret", "b"][..]),
        ("d/[!a].conf", &["caret", "b"]),
        ("d/[a^].conf", &["caret", "a"]),
        ("d/[[:alpha:]].conf", &["a", "b"]),
        ("d/[a.conf", &["bracket"]),
        ("[a", &[]),
    ] {
        let dir = files(&[
            (
                "conf/main.conf",
                &format!("stream {{ include {include}; }}"),
            ),
            ("conf/d/a.conf", &upstream("a")),
            ("conf/d/b.conf", &upstream("b")),
            ("conf/d/^.conf", &upstream("caret")),
            ("conf/d/[a.conf", &upstream("bracket")),
        ]);
        assert_eq!(upstreams(&dir), expected, "{include}");
    }
}

#[test]
fn names_that_are_not_utf8_are_found() {
    let dir = files(&[
        ("conf/main.conf", "stream { include d/*.conf; }"),
        ("conf/d/a.conf", &upstream("a")),
    ]);
    let name = OsStr::from_bytes(b"conf/d/caf\xe9.conf");
    fs::write(dir.path().join(name), upstream("latin")).unwrap();
    assert_eq!(upstreams(&dir), ["a", "latin"]);
}

#[test]
fn a_cycle_is_an_error() {
    let dir = files(&[
        ("conf/main.conf", "include a.conf;"),
        ("conf/a.conf", "\ninclude *.conf;"),
    ]);
    assert_eq!(
        load(&dir).unwrap_err(),
        "\"conf/a.conf\" includes itself in conf/a.conf:2"
    );

    let dir = files(&[("conf/main.conf", "include main.conf;")]);
    assert_eq!(
        load(&dir).unwrap_err(),
        "\"conf/main.conf\" includes itself in conf/main.conf:1"
    );
}

#[test]
fn the_depth_is_limited() {
    let names: Vec<_> = (1..=40).map(|level| format!("conf/{level}")).collect();
    let texts: Vec<_> = (2..=41).map(|level| format!("include {level};")).collect();
    let mut all: Vec<_> = names
        .iter()
        .zip(&texts)
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    all.push(("conf/main.conf", "include 1;"));
    let dir = files(&all);
    assert_eq!(
        load(&dir).unwrap_err(),
        "includes are nested more than 32 deep in conf/32:1"
    );

    fs::write(dir.path().join("conf/32"), "").unwrap();
    assert!(load(&dir).is_ok());
}

#[test]
fn a_file_may_be_included_twice() {
    let dir = files(&[
        (
            "conf/main.conf",
            "stream { upstream u { include a; } upstream v { include a; include a; } }",
        ),
        ("conf/a", "server a:1;"),
    ]);
    let stream = load(&dir).unwrap().stream.unwrap();
    let counts: Vec<_> = stream
        .upstreams
        .iter()
        .map(|upstream| upstream.servers.len())
        .collect();
    assert_eq!(counts, [1, 2]);
}

#[test]
fn an_endless_file_is_an_error() {
    let dir = files(&[("conf/main.conf", "include /dev/zero;")]);
    let error = "\"/dev/zero\" makes the configuration too large in conf/main.conf:1";
    assert_eq!(load(&dir).unwrap_err(), error);
}
