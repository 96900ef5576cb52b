use std::ffi::OsStr;

use super::*;

/// The answers of glob(3) of glibc 2.36 in the C locale.
#[test]
fn names_match_as_in_the_c_library() {
    for (pattern, matching, other) in [
        ("*", &["a", "a.conf", "é"][..], &[".a"][..]),
        (
            "*.conf",
            &["a.conf", "a.b.conf"],
            &[".conf", "a.conf.bak", "conf"],
        ),
        ("?.conf", &["a.conf"], &["é.conf", "ab.conf", ".conf"]),
        (".*", &[".a", ".a.conf"], &["a"]),
        ("[^a].conf", &["b.conf", "^.conf"], &["a.conf"]),
        ("[!a].conf", &["b.conf", "!.conf"], &["a.conf"]),
        ("[a^].conf", &["a.conf", "^.conf"], &["b.conf"]),
        ("[a!].conf", &["a.conf", "!.conf"], &["b.conf"]),
        ("[^.]*", &["a"], &[".a"]),
        ("[.]a", &[], &[".a"]),
        ("[a-c]", &["a", "b", "c"], &["d", "-"]),
        ("[^a-c]", &["d", "-"], &["a", "b", "c"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[-a]", &["a", "-"], &["b"]),
        ("[]a]", &["]", "a"], &["b"]),
        ("[^]a]", &["b"], &["]", "a"]),
        ("[c-a]", &[], &["a", "b", "c"]),
        ("[[:digit:]]", &["0", "9"], &["a", ":", "d"]),
        ("[^[:digit:]]", &["a", ":"], &["0", "9"]),
        ("[[:upper:]_]*", &["Ab", "_b"], &["ab"]),
        ("[[:alpha:][:digit:]]", &["a", "1"], &["-"]),
        ("\\*", &["*"], &["a", "\\*"]),
        ("\\[a]", &["[a]"], &["a"]),
        ("[\\]]", &["]"], &["\\"]),
        ("[a", &["[a"], &["a"]),
        ("a[", &["a["], &["a"]),
        ("[]", &["[]"], &["]"]),
        ("[!]", &["[!]"], &["]", "a"]),
        ("a**b", &["ab", "axb"], &["a"]),
        ("*a*b*", &["ab", "xaxbx", "aab"], &["ba"]),
    ] {
        let tokens = tokens(pattern);
        for name in matching {
            assert!(matches(&tokens, name.as_bytes()), "{pattern} {name}");
        }
        for name in other {
            assert!(!matches(&tokens, name.as_bytes()), "{pattern} {name}");
        }
    }
}

#[test]
fn a_name_that_is_not_utf8_is_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"caf\xe9.conf");
    for name in [name, OsStr::new("a.conf"), OsStr::new(".b.conf")] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    let find = |pattern| find(dir.path(), pattern).unwrap();
    let [latin, plain] = [name, OsStr::new("a.conf")].map(|name| dir.path().join(name));
    assert_eq!(find("*.conf"), [plain.clone(), latin.clone()]);
    assert_eq!(find("caf?.conf"), [latin]);
    assert_eq!(find("[a-b].conf"), [plain]);
    assert_eq!(find(".*.conf"), [dir.path().join(".b.conf")]);
}

#[test]
fn directories_match_too() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "a", "c"] {
        fs::create_dir(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("x.conf"), "").unwrap();
    }
    fs::write(dir.path().join("a.conf"), "").unwrap();
    let find = |pattern: &str| find(dir.path(), pattern).unwrap();
    let at = |names: &[&str]| -> Vec<PathBuf> {
        names.iter().map(|name| dir.path().join(name)).collect()
    };
    assert_eq!(find("[^c]/x.conf"), at(&["a/x.conf", "b/x.conf"]));
    assert_eq!(find("[^c]*/*"), at(&["a/x.conf", "b/x.conf"]));
    assert_eq!(find("a/../[b]/x.conf"), at(&["a/../b/x.conf"]));
    assert_eq!(find("none/*"), at(&[]));
    // The whole paths are sorted, as bytes.
    fs::create_dir(dir.path().join("a-")).unwrap();
    fs::write(dir.path().join("a-/x.conf"), "").unwrap();
    assert_eq!(find("a*/x.conf"), at(&["a-/x.conf", "a/x.conf"]));
    let absolute = format!("{}/?/x.conf", dir.path().display());
    assert_eq!(find(&absolute).len(), 3);
}
