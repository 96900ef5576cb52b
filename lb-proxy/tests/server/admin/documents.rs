//! The headers, types and statuses of answers.

use lb_proxy::admin::AdminSettings;
use test_support::sockets::loopback;

use super::{AdminScene, MARKUP, tcp};

#[tokio::test]
async fn a_name_with_markup_is_text_of_a_document_that_no_browser_renders() {
    let scene = AdminScene::new(AdminSettings::tcp(loopback())).await;
    let host = format!("host: {}\r\n", scene.addr());
    for target in [
        "/status.json",
        "/explain?upstream=pool",
        "/readyz",
        "/nothing",
        "/requests",
        "/page/main.js",
    ] {
        let answer = tcp(scene.addr(), "GET", target, &host).await;
        let head = &answer.head;
        assert!(head.contains("x-content-type-options: nosniff"), "{head}");
        assert!(
            head.contains("content-security-policy: default-src 'none'"),
            "{head}"
        );
        assert!(head.contains("cache-control: no-store"), "{head}");
        assert!(!head.contains("text/html"), "{head}");
    }
    let page = tcp(scene.addr(), "GET", "/", &host).await;
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'")
    );
    assert!(page.head.contains("content-type: text/html"));
    assert!(!page.body.contains(MARKUP), "the page asks for all names");
    let status = tcp(scene.addr(), "GET", "/status.json", &host).await;
    assert!(status.head.contains("content-type: application/json"));
    assert!(status.body.contains(MARKUP));
    for (method, target, allowed) in [
        ("GET", "/drain", "post"),
        ("DELETE", "/sessions", "get, head"),
        ("DELETE", "/log_level", "get, head, post"),
    ] {
        let answer = tcp(scene.addr(), method, target, &host).await;
        let head = answer.head;
        assert!(head.contains(&format!("allow: {allowed}\r\n")), "{head}");
    }
    for (method, target, expected) in [
        ("DELETE", "/status.json", 405),
        ("GET", "/drain", 405),
        ("GET", "/nothing", 404),
        ("GET", "/explain?upstream=nothing", 404),
        ("GET", "/explain?upstream=pool&client=x", 400),
        ("GET", "/explain?upstream=pool&other=1", 400),
        ("GET", "/sessions?limit=-1", 400),
        ("GET", "/livez", 200),
    ] {
        let answer = tcp(scene.addr(), method, target, &host).await;
        assert_eq!(answer.status, expected, "{method} {target} {answer:?}");
    }
    scene.end().await;
}
