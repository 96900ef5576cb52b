//! Words of an instruction.

/// Splits an instruction at blanks. `"…"` may hold blanks, and the escapes `\r \n \t \0 \" \\ \xNN` for bytes, which
/// become the characters of the same numbers.
pub(crate) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut is_quoted = false;
    let mut rest = text.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => {
                is_quoted = !is_quoted;
                word.get_or_insert_default();
            }
            '\\' if is_quoted => word.get_or_insert_default().push(escape(&mut rest)?),
            next if next.is_whitespace() && !is_quoted => words.extend(word.take()),
            next => word.get_or_insert_default().push(next),
        }
    }
    words.extend(word);
    match is_quoted {
        true => Err(format!("a quote is open: {text}")),
        false => Ok(words),
    }
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<char, String> {
    let code = rest.next().ok_or("an escape has no end")?;
    match code {
        'r' => Ok('\r'),
        'n' => Ok('\n'),
        't' => Ok('\t'),
        '0' => Ok('\0'),
        '"' | '\\' => Ok(code),
        'x' => {
            let digits: String = rest.by_ref().take(2).collect();
            let byte = u8::from_str_radix(&digits, 16);
            byte.map(char::from)
                .map_err(|error| format!("\\x{digits}: {error}"))
        }
        other => Err(format!("unknown escape \\{other}")),
    }
}

/// The bytes of characters up to `\xff`, as [`split`] makes them.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    let byte = |char| u8::try_from(u32::from(char)).unwrap_or(b'?');
    text.chars().map(byte).collect()
}

/// The reverse of [`bytes`].
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

#[test]
fn words_have_quotes_and_escapes() {
    let words = split("ask a send=\"x y\\r\\n\\x41\" \"\" => b").unwrap();
    assert_eq!(words, ["ask", "a", "send=x y\r\nA", "", "=>", "b"]);
    split("a \"b").unwrap_err();
    assert_eq!(bytes(&text(&[0, 128, 255])), [0, 128, 255]);
}
