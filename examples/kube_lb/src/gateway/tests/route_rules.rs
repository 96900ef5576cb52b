//! The table of rules and their tests.

use std::path::Path;

#[test]
fn the_table_names_tests_that_exist() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(package.join("docs/route-rules.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows.filter(|row| !row.starts_with("| rule |")) {
        assert!(row.contains(".rs::"), "no test: {row}");
    }
    let mut named = 0;
    for name in page.split('`').skip(1).step_by(2) {
        let Some((file, function)) = name.split_once("::") else {
            continue;
        };
        let path = match file.strip_prefix("cluster/") {
            Some(file) => package.join("tests/cluster").join(file),
            None => package.join("src/gateway/tests").join(file),
        };
        let source = std::fs::read_to_string(&path).unwrap();
        let is_test = ["#[test]\nfn", "#[tokio::test]\nasync fn"]
            .iter()
            .any(|begin| source.contains(&format!("{begin} {function}()")));
        assert!(is_test, "{name}");
        named += 1;
    }
    assert!(named > 40, "{named}");
}
