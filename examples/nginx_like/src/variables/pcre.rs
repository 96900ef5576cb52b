//! Refuses patterns that PCRE, which nginx uses, reads in another way than the crate `regex`.
//!
//! What only PCRE has, such as look-around or a back-reference, is an error of the crate. Here are the texts that are
//! valid in both and mean different things.

use regex_syntax::ast::parse::Parser;
use regex_syntax::ast::{
    AssertionKind, Ast, ClassSetBinaryOp, ClassSetItem, Flag, Flags, FlagsItemKind, HexLiteralKind,
    LiteralKind, RepetitionKind, Visitor, visit,
};

/// Why a pattern is refused, in words that follow the pattern in a message.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let ast = Parser::new().parse(pattern);
    let ast = ast.map_err(|error| error.kind().to_string())?;
    visit(&ast, Differences).map_err(str::to_owned)
}

struct Differences;

const CLASS: &str = "\"[\" in a character class is written \"\\[\"";
const OPERATION: &str = "\"&&\", \"--\" and \"~~\" in a character class are not supported";
const POSSESSIVE: &str = "possessive quantifiers are not supported";
const FLAG: &str = "this flag is not supported";
const BOUNDARY: &str = "word boundaries other than \"\\b\" and \"\\B\" are not supported";
const UNICODE: &str = "\"\\u\" and \"\\U\" are not supported";
const VERTICAL: &str = "\"\\v\" is not supported";

impl Visitor for Differences {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), Self::Err> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Repetition(outer) => match (&*outer.ast, &outer.op.kind) {
                (Ast::Repetition(_), _) => Err(POSSESSIVE),
                // PCRE reads "{,n}" as text.
                (_, RepetitionKind::Range(range)) if !range.is_valid() => Err("invalid range"),
                _ => Ok(()),
            },
            Ast::Flags(set) => flags(&set.flags),
            Ast::Group(group) => group.flags().map_or(Ok(()), flags),
            Ast::Assertion(assertion) => match assertion.kind {
                AssertionKind::StartLine
                | AssertionKind::EndLine
                | AssertionKind::StartText
                | AssertionKind::EndText
                | AssertionKind::WordBoundary
                | AssertionKind::NotWordBoundary => Ok(()),
                _ => Err(BOUNDARY),
            },
            Ast::Literal(literal) => kind(&literal.kind),
            _ => Ok(()),
        }
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Bracketed(_) => Err(CLASS),
            ClassSetItem::Literal(literal) => kind(&literal.kind),
            ClassSetItem::Range(range) => {
                kind(&range.start.kind)?;
                kind(&range.end.kind)
            }
            _ => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(&mut self, _: &ClassSetBinaryOp) -> Result<(), Self::Err> {
        Err(OPERATION)
    }
}

fn flags(flags: &Flags) -> Result<(), &'static str> {
    let differs = flags
        .items
        .iter()
        .any(|item| matches!(item.kind, FlagsItemKind::Flag(Flag::Unicode | Flag::CRLF)));
    if differs { Err(FLAG) } else { Ok(()) }
}

fn kind(kind: &LiteralKind) -> Result<(), &'static str> {
    use regex_syntax::ast::SpecialLiteralKind::VerticalTab;
    match kind {
        LiteralKind::HexFixed(HexLiteralKind::X) | LiteralKind::HexBrace(HexLiteralKind::X) => {
            Ok(())
        }
        LiteralKind::HexFixed(_) | LiteralKind::HexBrace(_) => Err(UNICODE),
        LiteralKind::Special(VerticalTab) => Err(VERTICAL),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_else_in_pcre_is_refused() {
        for (pattern, reason) in [
            ("a++", POSSESSIVE),
            ("a*+b", POSSESSIVE),
            ("a{2}+", POSSESSIVE),
            ("[[a]", "unclosed character class"),
            ("[a[b]]", CLASS),
            ("[a&&b]", OPERATION),
            ("[a--b]", OPERATION),
            ("(?u)a", FLAG),
            ("(?R:a)", FLAG),
            (r"\<a", BOUNDARY),
            (r"\b{start}a", BOUNDARY),
            (r"\u0041", UNICODE),
            (r"[\v]", VERTICAL),
            (
                "(?=a)b",
                "look-around, including look-ahead and look-behind, is not supported",
            ),
            (r"(a)\1", "backreferences are not supported"),
            ("(", "unclosed group"),
        ] {
            assert_eq!(check(pattern), Err(reason.to_owned()), "{pattern}");
        }
    }

    #[test]
    fn what_means_the_same_is_accepted() {
        for pattern in [
            "",
            "^a.*?b+?$",
            r"^(?<name>[\w-]+)\.(?P<rest>.+)$",
            "(?i:a)(?s)b(?x) c # comment",
            "[[:alpha:]_.-]{2,3}",
            r"\bа\x41\x{42}\.\-\/\:",
            "(?:a|b)*",
        ] {
            assert_eq!(check(pattern), Ok(()), "{pattern}");
        }
    }
}
