//! Marks in comments that say why a finding needs no action.
//!
//! `crashwise:allow`, `crashwise:allow code/python/eval, code/python/exec` and `crashwise:allow: reason` hold for their
//! line, or for the next one when they stand alone. `nosec` and `nosemgrep`, which other tools know, hold likewise for
//! every rule.

use super::lexer::{Token, TokenKind};
use super::matching::SourceText;
use crashwise_core::{Suppression, SuppressionKind};
use std::ops::Range;

/// A mark and the text it holds for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    lines: Range<usize>,
    rules: Vec<String>,
    reason: String,
}

/// The marks of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Marks(Vec<Mark>);

/// Without one of these there is no mark.
pub(crate) const WORDS: [&str; 3] = ["crashwise:allow", "nosemgrep", "nosec"];

impl Marks {
    /// Finds the marks in the comments of a file.
    pub(crate) fn of(source: &SourceText<'_>) -> Self {
        let comments = source.tokens.iter().filter(|token| token.kind == TokenKind::Comment);
        Self(comments.filter_map(|token| mark(source, token)).collect())
    }

    /// The suppression that holds for a finding of a rule, if there is one.
    pub(crate) fn suppression(&self, rule: &str, range: &Range<usize>) -> Option<Suppression> {
        let short = rule.strip_prefix("code/").unwrap_or(rule);
        let mark = self.0.iter().find(|mark| {
            mark.lines.start <= range.end
                && range.start <= mark.lines.end
                && (mark.rules.is_empty() || mark.rules.iter().any(|one| one == rule || one == short))
        })?;
        Some(Suppression { kind: SuppressionKind::InSource, reason: mark.reason.clone() })
    }
}

fn mark(source: &SourceText<'_>, token: &Token) -> Option<Mark> {
    let comment = &source.bytes[token.start..token.end];
    let (at, word) = WORDS.iter().find_map(|word| find_word(comment, word).map(|at| (at, *word)))?;
    let rest = String::from_utf8_lossy(&comment[at + word.len()..]);
    let rest = rest.lines().next().unwrap_or_default().trim_end_matches("*/").trim();
    let (rules, reason) = if word == WORDS[0] { split(rest) } else { (Vec::new(), format!("{word} {rest}")) };
    let own = source.lines_of(&(token.start..token.end), 4096);
    let alone = source.code[own.clone()].iter().all(u8::is_ascii_whitespace);
    let lines = if alone {
        let next = source.skip_space(token.end, source.code.len());
        source.lines_of(&(next..next), 4096)
    } else {
        own
    };
    Some(Mark { lines, rules, reason: reason.trim().to_owned() })
}

fn find_word(comment: &[u8], word: &str) -> Option<usize> {
    let at = memchr::memmem::find(comment, word.as_bytes())?;
    let letter = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let whole =
        !letter(at.checked_sub(1).and_then(|n| comment.get(n))) && !letter(comment.get(at + word.len()));
    whole.then_some(at)
}

/// Splits `rule, rule: reason`.
fn split(text: &str) -> (Vec<String>, String) {
    let (rules, reason) = match text.split_once(':') {
        Some((rules, reason)) => (rules, reason),
        None => text.split_once(" -- ").unwrap_or((text, "")),
    };
    let names: Vec<String> =
        rules.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if names.iter().all(|name| name.contains('/')) {
        (names, reason.to_owned())
    } else {
        // No rule has such a name: the text is a reason.
        (Vec::new(), text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Language;

    #[test]
    fn marks() {
        let text = "eval(a) # crashwise:allow python/eval: test data\n\
                    eval(b)  # nosec B307\n\
                    # crashwise:allow\n\
                    eval(c)\n\
                    eval(d) # crashwise:allow code/python/exec\n\
                    eval('nosec') # nosecond\n";
        let source = SourceText::new(text.as_bytes(), Language::Python);
        let marks = Marks::of(&source);
        let reasons: Vec<_> = memchr::memmem::find_iter(text.as_bytes(), "eval(")
            .map(|at| marks.suppression("code/python/eval", &(at..at + 7)).map(|found| found.reason))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(reasons, [some("test data"), some("nosec B307"), some(""), None, None]);
    }
}
