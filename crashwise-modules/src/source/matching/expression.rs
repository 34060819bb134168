//! What an expression is made of: constants, something dynamic, a string put together from both.

use super::arguments::Arguments;
use super::profile::Profile;
use super::text::{FILLER, SourceText, is_word};
use crate::source::Language;
use crate::source::lexer::{Token, TokenKind};
use crate::source::rule::LazyRegex;
use std::ops::Range;

/// The most parts of one string that are followed.
const MAX_PARTS: usize = 64;
/// The most strings of one expression that are looked at.
const MAX_STRINGS: usize = 16;
/// The longest operand that is looked at, in bytes.
const MAX_OPERAND: usize = 1024;

/// Whether the value of an expression is not known before the program runs.
pub(crate) fn is_dynamic(source: &SourceText<'_>, range: &Range<usize>) -> bool {
    let interpolated = |token: &Token| token.kind == TokenKind::Interpolated;
    if source.tokens_in(range).iter().any(interpolated) {
        return true;
    }
    source.code_in(range.clone()).any(|piece| has_variable(source, &piece))
}

/// Whether a piece of code names anything that is not a constant.
fn has_variable(source: &SourceText<'_>, piece: &Range<usize>) -> bool {
    let mut at = piece.start;
    while at < piece.end {
        if !is_word(source.code[at]) {
            at += 1;
            continue;
        }
        let length = source.code[at..piece.end].iter().take_while(|b| is_word(**b)).count();
        let word = at..at + length;
        at = word.end;
        if !is_constant(source, &word) {
            return true;
        }
    }
    false
}

fn is_constant(source: &SourceText<'_>, range: &Range<usize>) -> bool {
    let word = &source.code[range.clone()];
    let next = source.code.get(range.end).copied().unwrap_or(0);
    let before = range.start.checked_sub(1).map_or(0, |n| source.code[n]);
    let shouted = word.len() >= 2
        && word.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
        && next != b'(';
    let known = matches!(
        word,
        b"true"
            | b"false"
            | b"null"
            | b"nil"
            | b"None"
            | b"True"
            | b"False"
            | b"undefined"
            | b"NULL"
            | b"nullptr"
            | b"new"
            | b"const"
            | b"let"
            | b"mut"
            | b"and"
            | b"or"
            | b"not"
            | b"in"
            | b"is"
            | b"typeof"
            | b"sizeof"
    );
    // `Type.CONSTANT`, `module::CONSTANT`: what qualifies a constant is constant.
    let qualifies = match next {
        b'.' => constant_follows(source, range.end + 1),
        b':' if source.code.get(range.end + 1) == Some(&b':') => constant_follows(source, range.end + 2),
        _ => false,
    };
    // `"text".encode()`: a method of a literal that changes no more than its form.
    let of_literal = before == b'.'
        && matches!(
            word,
            b"encode"
                | b"decode"
                | b"strip"
                | b"trim"
                | b"to_string"
                | b"to_owned"
                | b"into"
                | b"as_str"
                | b"toString"
                | b"getBytes"
                | b"freeze"
                | b"dedent"
                | b"as_bytes"
                | b"c_str"
                | b"to_vec"
        );
    word[0].is_ascii_digit() || shouted || known || qualifies || of_literal
}

fn constant_follows(source: &SourceText<'_>, mut at: usize) -> bool {
    for _ in 0..8 {
        let length = source.code[at..].iter().take(128).take_while(|b| is_word(**b)).count();
        let word = &source.code[at..at + length];
        let next = source.code.get(at + length).copied().unwrap_or(0);
        match next {
            b'.' => at += length + 1,
            b':' if source.code.get(at + length + 1) == Some(&b':') => at += length + 2,
            _ => {
                return length >= 2
                    && !matches!(next, b'(' | b'[')
                    && word.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_');
            }
        }
    }
    false
}

/// Whether an expression holds a string that is put together with something dynamic.
pub(crate) fn builds_string(source: &SourceText<'_>, range: &Range<usize>, safe: Option<&LazyRegex>) -> bool {
    source.tokens_in(range).iter().take(MAX_STRINGS).any(|token| {
        token.kind.is_string() && (is_built(source, token, safe) || is_appended(source, token, range, safe))
    })
}

/// Whether something dynamic stands before a string and a join between them.
fn is_appended(
    source: &SourceText<'_>,
    token: &Token,
    range: &Range<usize>,
    safe: Option<&LazyRegex>,
) -> bool {
    let at = source.skip_space_back(token.start);
    if at <= range.start || !Profile::of(source.language).joins.contains(&source.code[at - 1]) {
        return false;
    }
    let before = range.start..at - 1;
    is_dynamic(source, &before) && !is_safe(source, &before, safe)
}

/// Whether a string is the first part of one that is put together with something dynamic: by interpolation, by a join
/// behind it, or as the format of a function.
pub(crate) fn is_built(source: &SourceText<'_>, token: &Token, safe: Option<&LazyRegex>) -> bool {
    if token.kind == TokenKind::Interpolated {
        return true;
    }
    // A tagged template of JavaScript is a call; most tags take what stands in it as parameters.
    let before = token.start.checked_sub(1).map_or(0, |n| source.code[n]);
    if source.bytes[token.start] == b'`' && (is_word(before) || before == b'>') {
        return false;
    }
    let profile = Profile::of(source.language);
    let mut token = token;
    for _ in 0..MAX_PARTS {
        // The code inside a string, up to its last part.
        if token.kind == TokenKind::InterpolationStart {
            let first = source.token_from(token.start);
            let (found, last) = interpolation(source, first, safe);
            if found {
                return true;
            }
            let Some(last) = source.tokens.get(last) else { return false };
            token = last;
        }
        match join(source, token, profile, safe) {
            Join::Dynamic => return true,
            Join::Literal(at) => match source.tokens.get(source.token_from(at)) {
                Some(next) if next.kind == TokenKind::Interpolated => return true,
                Some(next) if next.start == at => token = next,
                _ => return false,
            },
            Join::End => break,
        }
    }
    fills_format(source, token, profile, safe)
}

/// Looks at the code inside a string: whether any is dynamic, and the index of the last part.
fn interpolation(source: &SourceText<'_>, first: usize, safe: Option<&LazyRegex>) -> (bool, usize) {
    let mut depth = 0_usize;
    let mut from = source.tokens[first].end;
    for (index, token) in source.tokens.iter().enumerate().skip(first).take(4 * MAX_PARTS) {
        if index > first && depth == 1 {
            let piece = from..token.start.max(from);
            if is_dynamic(source, &piece) && !is_safe(source, &piece, safe) {
                return (true, index);
            }
            from = token.end;
        }
        match token.kind {
            TokenKind::InterpolationStart => depth += 1,
            TokenKind::InterpolationEnd => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return (false, index);
                }
            }
            _ => {}
        }
    }
    (false, source.tokens.len())
}

enum Join {
    /// Something dynamic is joined.
    Dynamic,
    /// The next part is the string that starts there.
    Literal(usize),
    End,
}

/// Looks at what is joined behind a string.
fn join(source: &SourceText<'_>, token: &Token, profile: &Profile, safe: Option<&LazyRegex>) -> Join {
    let end = source.code.len();
    let mut at = source.skip_space(token.end, end);
    for _ in 0..MAX_PARTS {
        let byte = source.code.get(at).copied().unwrap_or(0);
        if source.token_at(at).is_some_and(|next| next.start == at && next.kind.is_string()) {
            // Neighbouring literals are one in Python and C; elsewhere they are two strings.
            let joined = matches!(source.language, Language::Python | Language::C);
            return if joined { Join::Literal(at) } else { Join::End };
        }
        let next = source.code.get(at + 1).copied().unwrap_or(0);
        if byte == b')' {
            let behind = source.skip_space(at + 1, end);
            let fills = matches!(source.code.get(behind), Some(b'%' | b'.'));
            if source.language == Language::Python && fills {
                at = behind;
                continue;
            }
            return Join::End;
        }
        if byte == b'.' && source.language != Language::Php {
            let word = source.code[at + 1..].iter().take(32).take_while(|b| is_word(**b)).count();
            let name = std::str::from_utf8(&source.code[at + 1..at + 1 + word]).unwrap_or_default();
            let open = at + 1 + word;
            if profile.fillers.contains(&name)
                && source.code.get(open) == Some(&b'(')
                && let Some(args) = Arguments::parenthesised(source, open)
                && is_dynamic(source, &args.range)
                && !is_safe(source, &args.range, safe)
            {
                return Join::Dynamic;
            }
            return Join::End;
        }
        let joins = profile.joins.contains(&byte) && !matches!(next, b'=' | b'+');
        if !joins || (byte == b'%' && !has_placeholder(&source.bytes[token.content()])) {
            return Join::End;
        }
        let operand = source.skip_space(at + 1, end);
        if source.token_at(operand).is_some_and(|next| next.start == operand && next.kind.is_string()) {
            return Join::Literal(operand);
        }
        let range = operand..operand_end(source, operand, profile.joins);
        if is_dynamic(source, &range) && !is_safe(source, &range, safe) {
            return Join::Dynamic;
        }
        if range.is_empty() {
            return Join::End;
        }
        at = source.skip_space(range.end, end);
    }
    Join::End
}

/// Where an operand ends: before the next join, comma, closing bracket, semicolon or end of the statement.
fn operand_end(source: &SourceText<'_>, start: usize, joins: &[u8]) -> usize {
    let limit = source.code.len().min(start.saturating_add(MAX_OPERAND));
    let mut depth = 0_usize;
    for at in start..limit {
        match source.code[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' | b',' | b';' | b'\n' | b'?' if depth == 0 => return at,
            b')' | b']' | b'}' => depth -= 1,
            FILLER => {}
            byte if depth == 0 && joins.contains(&byte) => return at,
            _ => {}
        }
    }
    limit
}

fn is_safe(source: &SourceText<'_>, range: &Range<usize>, safe: Option<&LazyRegex>) -> bool {
    let text = &source.bytes[range.clone()];
    safe.is_some_and(|regex| regex.is_match(text))
        || Profile::of(source.language).sanitizers.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// Whether a format takes anything but numbers.
fn has_placeholder(content: &[u8]) -> bool {
    content
        .windows(2)
        .any(|pair| matches!(pair, b"%s" | b"%v" | b"%r" | b"%(" | b"%q" | b"%<" | b"%{" | b"%+"))
        || memchr::memchr(b'{', content).is_some()
        || content.windows(4).any(|four| four[0] == b'%' && four.contains(&b's'))
}

/// Whether a string is the format of a function that is given something dynamic.
fn fills_format(source: &SourceText<'_>, token: &Token, profile: &Profile, safe: Option<&LazyRegex>) -> bool {
    if profile.formats.is_empty() {
        return false;
    }
    let Some(open) = enclosing_parenthesis(source, token.start) else { return false };
    let before = &source.code[..source.skip_space_back(open)];
    let named = profile.formats.iter().any(|name| {
        before.ends_with(name.as_bytes())
            && !before[..before.len() - name.len()].last().is_some_and(|b| is_word(*b) || *b == b'>')
    });
    let content = &source.bytes[token.content()];
    // `format!("{name}")` of Rust names variables inside the string.
    let inline = source.language == Language::Rust && names_inline(content);
    if !named {
        return false;
    }
    let Some(args) = Arguments::parenthesised(source, open) else { return false };
    let rest = token.end..args.range.end.max(token.end);
    inline || (has_placeholder(content) && is_dynamic(source, &rest) && !is_safe(source, &rest, safe))
}

fn names_inline(content: &[u8]) -> bool {
    memchr::memchr_iter(b'{', content).any(|at| {
        let name = content[at + 1..].iter().take_while(|b| is_word(**b));
        let (length, lower) = name.fold((0, false), |(n, lower), b| (n + 1, lower || b.is_ascii_lowercase()));
        let escaped = at > 0 && content[at - 1] == b'{';
        !escaped && lower && matches!(content.get(at + 1 + length), Some(b'}' | b':'))
    })
}

/// The parenthesis that is open at an offset, within a bound.
fn enclosing_parenthesis(source: &SourceText<'_>, at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let floor = at.saturating_sub(MAX_OPERAND);
    (floor..at).rev().find(|at| match source.code[*at] {
        b')' | b']' | b'}' => {
            depth += 1;
            false
        }
        b'(' if depth == 0 => true,
        b'(' | b'[' | b'{' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => false,
    })
}
