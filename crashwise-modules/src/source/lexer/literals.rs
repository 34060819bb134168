//! Strings, characters and regexes of the languages.

use super::TokenKind;
use super::scan::{Close, Code, Scanner};
use crate::source::Language;

fn plain(quote: u8) -> Close {
    Close { quote, count: 1, nest: 0, code: Code::Never, escapes: true, multiline: false }
}

/// A quote in code.
pub(super) fn string(scan: &mut Scanner<'_>) {
    let quote = scan.text[scan.at];
    match (scan.language, quote) {
        (Language::Python, _) => python(scan, quote),
        (Language::JavaScript, b'`') => {
            quoted(scan, 0, 1, Close { code: Code::Dollar, multiline: true, ..plain(b'`') });
        }
        (Language::Rust, b'\'') => rust_quote(scan),
        (Language::Rust, _) => rust_string(scan),
        (Language::Go, b'`') => quoted(scan, 0, 1, Close { escapes: false, multiline: true, ..plain(b'`') }),
        (Language::Go | Language::Java | Language::C | Language::CSharp, b'\'') => char_literal(scan),
        (Language::Java, _) if scan.text[scan.at..].starts_with(b"\"\"\"") => {
            quoted(scan, 0, 3, Close { count: 3, multiline: true, ..plain(b'"') });
        }
        (Language::C, _) if preceded(scan, scan.at, b"R") => cpp_raw(scan),
        (Language::CSharp, _) => csharp(scan),
        (Language::Php, _) => php(scan, quote),
        (Language::Ruby, b'\'') => quoted(scan, 0, 1, Close { multiline: true, ..plain(b'\'') }),
        (Language::Ruby, _) => {
            quoted(scan, 0, 1, Close { code: Code::Hash, multiline: true, ..plain(quote) });
        }
        _ => quoted(scan, 0, 1, plain(quote)),
    }
}

/// A string with `prefix` bytes before the quote, which is `quotes` bytes long.
fn quoted(scan: &mut Scanner<'_>, prefix: usize, quotes: usize, close: Close) {
    let start = scan.at - prefix;
    scan.at += quotes;
    scan.string_body(start, prefix + quotes, close, true);
}

/// Whether `mark` stands before `at` and is not the end of a longer word.
fn preceded(scan: &Scanner<'_>, at: usize, mark: &[u8]) -> bool {
    // Marks are of one to three bytes, for which a comparison in place is faster than a call.
    let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    at.checked_sub(mark.len()).is_some_and(|start| {
        scan.text[start..at].iter().eq(mark) && !scan.text[..start].last().is_some_and(is_word)
    })
}

fn python(scan: &mut Scanner<'_>, quote: u8) {
    let word = scan.text[..scan.at].iter().rev().take(3).take_while(|b| b.is_ascii_alphabetic()).count();
    let prefix = &scan.text[scan.at - word..scan.at];
    let is_prefix = word <= 2
        && prefix.iter().all(|b| b"rRbBuUfFtT".contains(b))
        && !scan.text[..scan.at - word].last().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let (word, prefix) = if is_prefix { (word, prefix) } else { (0, &b""[..]) };
    let triple = scan.peek(1) == quote && scan.peek(2) == quote;
    let formatted = prefix.iter().any(|b| b"fFtT".contains(b));
    let count = if triple { 3 } else { 1 };
    let code = if formatted { Code::Brace } else { Code::Never };
    // In a raw string a backslash still keeps the quote behind it from closing.
    let close = Close { count, code, multiline: triple, ..plain(quote) };
    quoted(scan, word, usize::from(count), close);
}

fn rust_quote(scan: &mut Scanner<'_>) {
    let rest = &scan.text[scan.at + 1..];
    let width = match rest.first() {
        Some(b'\\') => return char_literal(scan),
        Some(0xF0..) => 4,
        Some(0xE0..) => 3,
        Some(0xC0..) => 2,
        _ => 1,
    };
    if rest.get(width) == Some(&b'\'') {
        scan.push(scan.at, scan.at + width + 2, TokenKind::Char, (1, 1));
    } else {
        // A lifetime or a label.
        scan.at += 1;
    }
}

fn rust_string(scan: &mut Scanner<'_>) {
    let hashes = scan.text[..scan.at].iter().rev().take(255).take_while(|b| **b == b'#').count();
    let before = scan.at - hashes;
    for prefix in [&b"r"[..], b"br", b"cr"] {
        if preceded(scan, before, prefix) {
            let opened = prefix.len() + hashes + 1;
            let start = before - prefix.len();
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            let body = scan.at + 1;
            let end = memchr::memmem::find(&scan.text[body..], &close);
            let (end, closed) = end.map_or((scan.text.len(), 0), |n| (body + n + close.len(), close.len()));
            scan.push(start, end, TokenKind::String, (opened, closed));
            return;
        }
    }
    let prefix = usize::from(preceded(scan, scan.at, b"b") || preceded(scan, scan.at, b"c"));
    quoted(scan, prefix, 1, Close { multiline: true, ..plain(b'"') });
}

fn cpp_raw(scan: &mut Scanner<'_>) {
    let body = scan.at + 1;
    let delimiter = scan.text[body..].iter().take(17).position(|b| *b == b'(');
    let Some(length) = delimiter else { return quoted(scan, 0, 1, plain(b'"')) };
    let mut close = vec![b')'];
    close.extend_from_slice(&scan.text[body..body + length]);
    close.push(b'"');
    let inner = body + length + 1;
    let end = memchr::memmem::find(&scan.text[inner..], &close);
    let (end, closed) = end.map_or((scan.text.len(), 0), |n| (inner + n + close.len(), close.len()));
    scan.push(scan.at - 1, end, TokenKind::String, (length + 3, closed));
}

fn csharp(scan: &mut Scanner<'_>) {
    if scan.text[scan.at..].starts_with(b"\"\"\"") {
        let close = Close { count: 3, escapes: false, multiline: true, ..plain(b'"') };
        return quoted(scan, 0, 3, close);
    }
    let marks = scan.text[..scan.at].iter().rev().take(2).take_while(|b| b"@$".contains(b)).count();
    let prefix = &scan.text[scan.at - marks..scan.at];
    let verbatim = prefix.contains(&b'@');
    let code = if prefix.contains(&b'$') { Code::Brace } else { Code::Never };
    let close = Close { code, escapes: !verbatim, multiline: verbatim, ..plain(b'"') };
    quoted(scan, marks, 1, close);
}

fn php(scan: &mut Scanner<'_>, quote: u8) {
    let start = scan.at;
    quoted(scan, 0, 1, Close { multiline: true, ..plain(quote) });
    if quote != b'\''
        && let Some(token) = scan.tokens.last_mut()
        && names_variables(&scan.text[start..token.end])
    {
        token.kind = TokenKind::Interpolated;
    }
}

/// Whether a double-quoted string of PHP names a variable.
pub(super) fn names_variables(text: &[u8]) -> bool {
    memchr::memchr_iter(b'$', text).any(|at| {
        let escaped = text[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1;
        !escaped && text.get(at + 1).is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_' || *b == b'{')
    })
}

/// A character, or what looks like the start of one: C++ also separates digits with the quote.
fn char_literal(scan: &mut Scanner<'_>) {
    let digit_before = scan.text[..scan.at].last().is_some_and(u8::is_ascii_hexdigit);
    if scan.language == Language::C && digit_before && scan.peek(1).is_ascii_hexdigit() {
        scan.at += 1;
        return;
    }
    let start = scan.at;
    quoted(scan, 0, 1, plain(b'\''));
    if let Some(token) = scan.tokens.last_mut()
        && token.start == start
    {
        token.kind = TokenKind::Char;
    }
}

/// Whether a value is expected here, so that `/` or `%` opens a literal: told by what stands before.
fn expects_value(scan: &Scanner<'_>) -> bool {
    let mut end = scan.at;
    for token in scan.tokens.iter().rev() {
        let gap = &scan.text[token.end.min(end)..end];
        if token.kind != TokenKind::Comment || !gap.iter().all(u8::is_ascii_whitespace) {
            break;
        }
        end = token.start;
    }
    let before = scan.text[..end].trim_ascii_end();
    let Some(&last) = before.last() else { return true };
    if last.is_ascii_alphanumeric() || last == b'_' || last == b'$' {
        let word =
            before.iter().rev().take(12).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let word = &before[before.len() - word..];
        let member = before[..before.len() - word.len()].ends_with(b".");
        let words: &[&[u8]] = &[
            b"return", b"typeof", b"case", b"in", b"of", b"delete", b"void", b"throw", b"new", b"else",
            b"do", b"yield", b"await", b"if", b"unless", b"while", b"until", b"when", b"and", b"or", b"not",
            b"puts",
        ];
        return !member && words.contains(&word);
    }
    !matches!(last, b')' | b']' | b'}' | b'"' | b'\'' | b'`')
}

/// A slash in JavaScript or Ruby: a regex or a division.
pub(super) fn regex(scan: &mut Scanner<'_>) {
    let tight = !scan.peek(1).is_ascii_whitespace() && scan.peek(1) != b'=';
    // In Ruby `puts /x/` is a call with a regex.
    let spaced = scan.at > 0 && scan.text[scan.at - 1] == b' ';
    let argument = scan.language == Language::Ruby && spaced && tight;
    if !(expects_value(scan) || argument) {
        scan.at += 1;
        return;
    }
    let mut class = false;
    let mut at = scan.at + 1;
    while let Some(&byte) = scan.text.get(at) {
        match byte {
            b'\n' => break,
            b'\\' => at += 1,
            b'[' => class = true,
            b']' => class = false,
            b'/' if !class || scan.language == Language::Ruby => {
                scan.push(scan.at, at + 1, TokenKind::Regex, (1, 1));
                return;
            }
            _ => {}
        }
        at += 1;
    }
    scan.at += 1;
}

/// A percent sign in Ruby: a literal such as `%w[a b]`, or a remainder.
pub(super) fn percent(scan: &mut Scanner<'_>) {
    let kind = scan.peek(1);
    let (letter, quote) = if kind.is_ascii_alphabetic() { (kind, scan.peek(2)) } else { (b'Q', kind) };
    let opened = if kind.is_ascii_alphabetic() { 3 } else { 2 };
    let close = match quote {
        b'(' => b')',
        b'[' => b']',
        b'{' => b'}',
        b'<' => b'>',
        b'|' | b'!' | b'/' | b'^' => quote,
        _ => 0,
    };
    if close == 0 || !b"qQwWiIxrs".contains(&letter) || !expects_value(scan) {
        scan.at += 1;
        return;
    }
    let nest = if close == quote { 0 } else { quote };
    let code = if b"QWIxr".contains(&letter) { Code::Hash } else { Code::Never };
    let start = scan.at;
    scan.at += opened;
    scan.string_body(start, opened, Close { nest, code, multiline: true, ..plain(close) }, true);
}
