use super::*;

/// Shows all statements of a text, each with its line, or the error with its line.
fn lex(text: &[u8]) -> String {
    let mut lexer = Lexer::new(text);
    let mut shown = String::new();
    loop {
        let item = lexer.next();
        let line = lexer.line();
        shown += &match item {
            Ok(Item::Simple(words)) => format!("{line}{words:?}; "),
            Ok(Item::BlockStart(words)) => format!("{line}{words:?}{{ "),
            Ok(Item::BlockEnd) => format!("{line}}} "),
            Ok(Item::End) => return shown.trim_end().to_owned(),
            Err(error) => return shown + &format!("{line}: {error}"),
        };
    }
}

#[test]
fn statements() {
    for (text, shown) in [
        ("", ""),
        (" \t\r\n", ""),
        ("user nginx;", r#"1["user", "nginx"];"#),
        ("a b c;d;", r#"1["a", "b", "c"]; 1["d"];"#),
        ("a{b;}c;", r#"1["a"]{ 1["b"]; 1} 1["c"];"#),
        ("a {}", r#"1["a"]{ 1}"#),
        // The line of a statement is that of its end.
        ("a\n b\r\n ;\n\n{", "3[\"a\", \"b\"]; 5: unexpected \"{\""),
        ("\na\n{\n}\n", r#"3["a"]{ 4}"#),
        // Only these four bytes are white space.
        ("a\u{b}b\u{a0}c;", r#"1["a\u{b}b\u{a0}c"];"#),
        (";", "1: unexpected \";\""),
        ("{", "1: unexpected \"{\""),
        ("a }", "1: unexpected \"}\""),
        ("a; }}", r#"1["a"]; 1} 1}"#),
        ("a", r#"1: unexpected end of file, expecting ";" or "}""#),
        (
            "a\n\n",
            r#"3: unexpected end of file, expecting ";" or "}""#,
        ),
    ] {
        assert_eq!(lex(text.as_bytes()), shown, "{text:?}");
    }
}

#[test]
fn comments() {
    for (text, shown) in [
        ("#", ""),
        ("# a; {\nb;", r#"2["b"];"#),
        ("a # b;\n c;", r#"2["a", "c"];"#),
        // Inside a word it is nothing special.
        ("a#b;", r#"1["a#b"];"#),
        (
            "a # b;",
            r#"1: unexpected end of file, expecting ";" or "}""#,
        ),
    ] {
        assert_eq!(lex(text.as_bytes()), shown, "{text:?}");
    }
    // Comments may have any encoding.
    assert_eq!(lex(b"# caf\xe9\na;"), r#"2["a"];"#);
}

#[test]
fn quotes() {
    for (text, shown) in [
        (r#"a "b c" 'd;e';"#, r#"1["a", "b c", "d;e"];"#),
        (r#"a "b{" '}';"#, r#"1["a", "b{", "}"];"#),
        (r#"a "" '';"#, r#"1["a", "", ""];"#),
        (r#"a "'" '"';"#, r#"1["a", "'", "\""];"#),
        ("a \"b\nc\"\n;", r#"3["a", "b\nc"];"#),
        (r#""a"{"b";}"#, r#"1["a"]{ 1["b"]; 1}"#),
        // Inside a word they are nothing special.
        (r#"a"b" c'd;"#, r#"1["a\"b\"", "c'd"];"#),
        (r#"a "b"c;"#, r#"1: unexpected "c""#),
        (r#"a "b""c";"#, "1: unexpected \"\"\""),
        (r#"a "b"};"#, r#"1: unexpected "}""#),
        (r##"a "b"#;"##, r##"1: unexpected "#""##),
        (r#"a "b")c;"#, r#"1["a", "b", ")c"];"#),
        (
            r#"a "b"#,
            r#"1: unexpected end of file, expecting ";" or "}""#,
        ),
        (
            r#"a "b""#,
            r#"1: unexpected end of file, expecting ";" or "}""#,
        ),
    ] {
        assert_eq!(lex(text.as_bytes()), shown, "{text:?}");
    }
}

#[test]
fn escapes() {
    for (text, word) in [
        (r#"a\"b"#, r#"a"b"#),
        (r"a\'b", "a'b"),
        (r"a\\b", r"a\b"),
        (r"a\tb\rc\nd", "a\tb\rc\nd"),
        (r#""a\"b""#, r#"a"b"#),
        (r"'a\'b'", "a'b"),
        (r"\\\\n", r"\\n"),
        // Any other escaped byte is kept, with the backslash, but loses its meaning.
        (r"a\ b\;c\{d\#", r"a\ b\;c\{d\#"),
        (r"\a", r"\a"),
        (r#""\q""#, r"\q"),
        (r"\}", r"\}"),
        ("a\\\nb", "a\\\nb"),
    ] {
        let text = format!("{text};");
        let item = Lexer::new(text.as_bytes()).next().unwrap();
        assert_eq!(item, Item::Simple(vec![word.to_owned()]), "{text:?}");
    }
    assert_eq!(
        lex(b"a\\;"),
        r#"1: unexpected end of file, expecting ";" or "}""#
    );
    assert_eq!(lex(b"a\\\n;"), r#"2["a\\\n"];"#);
    assert_eq!(
        lex(b"a\\"),
        r#"1: unexpected end of file, expecting ";" or "}""#
    );
}

#[test]
fn variables() {
    for (text, shown) in [
        ("a ${b};", r#"1["a", "${b}"];"#),
        ("${a}b;", r#"1["${a}b"];"#),
        ("a$b;", r#"1["a$b"];"#),
        ("a ${;", r#"1["a", "${"];"#),
        ("a ${{;", r#"1["a", "${{"];"#),
        ("a $$b{", r#"1["a", "$$b"]{"#),
        ("a $ {", r#"1["a", "$"]{"#),
        (r"a \${", r#"1["a", "\\$"]{"#),
    ] {
        assert_eq!(lex(text.as_bytes()), shown, "{text:?}");
    }
}

#[test]
fn lengths() {
    let x = |count: usize| "x".repeat(count);
    let too_long = r#"too long parameter "xxxxxxxxxx..." started"#;
    let no_quote = |quote: char| {
        format!("too long parameter, probably missing terminating \"{quote}\" character")
    };
    for (text, shown) in [
        (x(4095) + ";", format!("1[\"{}\"];", x(4095))),
        (x(4096) + ";", format!("1: {too_long}")),
        // The end of the file is noticed first.
        (
            x(4096),
            r#"1: unexpected end of file, expecting ";" or "}""#.to_owned(),
        ),
        // The error is on the line where the word started.
        (format!("\na\n{}", x(5000)), format!("3: {too_long}")),
        (
            format!("\n\"\n{}\";", x(4093)),
            format!("3[\"\\n{}\"];", x(4093)),
        ),
        (format!("\n\"{}\";\n", x(4095)), format!("2: {too_long}")),
        (
            format!("\n\"\n{}\";", x(4096)),
            format!("2: {}", no_quote('"')),
        ),
        (format!("'{}';", x(4096)), format!("1: {}", no_quote('\''))),
        // It holds for comments, but not for white space.
        (format!("\n#{}\na;", x(4094)), r#"3["a"];"#.to_owned()),
        (
            format!("\n#{}\na;", x(4095)),
            "2: too long parameter \"#xxxxxxxxx...\" started".to_owned(),
        ),
        (
            format!("a{}b;", " ".repeat(5000)),
            r#"1["a", "b"];"#.to_owned(),
        ),
    ] {
        let name = text.chars().take(10).collect::<String>();
        assert_eq!(lex(text.as_bytes()), shown, "{name:?}… of {}", text.len());
    }
}

#[test]
fn other_encodings() {
    assert_eq!(lex(b"a caf\xe9;"), "1: \"caf\u{fffd}\" is not valid UTF-8");
    assert_eq!(lex("a café;".as_bytes()), r#"1["a", "café"];"#);
    // A byte order mark is a part of the first word.
    assert_eq!(lex(b"\xef\xbb\xbfa;"), r#"1["\u{feff}a"];"#);
    assert_eq!(lex(b"a\0b;"), r#"1["a\0b"];"#);
}
