//! The configuration that runs, as the admin server shows it.

use rustix::process::Signal;
use serde_json::Value;

use super::json;
use crate::proxy::NginxLike;

/// Each line of what runs has its place, includes in the place where they take effect, and secrets are hidden.
#[tokio::test]
async fn the_configuration_that_runs_is_shown_with_its_places() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, included) = (dir.path().join("lb.sock"), dir.path().join("more.conf"));
    std::fs::write(
        &included,
        "# a comment\nmatch hello {\n  send \"AUTH s3cret\";\n  expect ok;\n}\n\
         upstream u { server 127.0.0.1:1; }",
    )
    .unwrap();
    let stream = |idle: &str| {
        format!(
            "lb_admin unix:{};\ninclude {};\nserver {{ listen LISTEN;\n  proxy_timeout\n    {idle};\n\
             health_check \"send=AUTH s3cret\" expect=ok; proxy_pass u; }}",
            socket.display(),
            included.display()
        )
    };
    let proxy = NginxLike::start("", &stream("1m")).await;
    let lines = async || {
        let config = json(&socket, "GET", "/config").await;
        let lines = config["lines"].as_array().unwrap().iter();
        let line = |line: &Value| {
            let file = line["file"].as_str().unwrap().to_owned();
            let text = line["text"].as_str().unwrap().to_owned();
            (file, line["line"].as_u64().unwrap(), text)
        };
        lines.map(line).collect::<Vec<_>>()
    };
    let main = proxy.dir().join("test.conf").display().to_string();
    let more = included.display().to_string();
    let shown = lines().await;
    let has = |file: &str, line: u64, text: &str| {
        let wanted = (file.to_owned(), line, text.to_owned());
        assert!(shown.contains(&wanted), "{wanted:?} is not in {shown:#?}");
    };
    has(&main, 4, "stream {");
    has(&main, 6, &format!("    # include {more}"));
    has(&more, 2, "    match hello {");
    has(&more, 3, "        send <hidden>;");
    has(&more, 5, "    }");
    has(&more, 6, "        server 127.0.0.1:1;");
    has(&main, 8, "        proxy_timeout 1m;");
    has(&main, 10, "        health_check send=<hidden> expect=ok;");
    assert!(!format!("{shown:?}").contains("s3cret"));

    proxy.reload("", &stream("2m")).await;
    let texts = |lines: Vec<(String, u64, String)>| lines.into_iter().map(|line| line.2);
    let after: Vec<_> = texts(lines().await).collect();
    assert!(after.contains(&"        proxy_timeout 2m;".to_owned()));

    // The one that runs is shown, not the file.
    proxy.configure("", "lb_admin nonsense;");
    proxy.signal(Signal::HUP);
    proxy.logged("Configuration not applied").await;
    assert_eq!(texts(lines().await).collect::<Vec<_>>(), after);
}
