//! Alpine: `digits{.digits}[letter]{_suffix[digits]}[~hash][-r digits]`, as apk-tools 3 compares.
//!
//! A text outside that grammar is compared up to the first flaw, as apk does; a flaw sorts before the end.

use std::cmp::Ordering;

use super::key::{KeyWriter, compare_numbers, split_digits, split_while};

const SUFFIX_BEFORE: u8 = 0x10;
const FLAW: u8 = 0x20;
const END: u8 = 0x30;
const REVISION: u8 = 0x31;
const HASH: u8 = 0x40;
const SUFFIX_NUMBER: u8 = 0x41;
const SUFFIX_AFTER: u8 = 0x50;
const LETTER: u8 = 0x60;
const PADDED: u8 = 0x70;
const NUMBER: u8 = 0x71;

const BEFORE_RELEASE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const AFTER_RELEASE: [&str; 5] = ["cvs", "svn", "git", "hg", "p"];

/// One token; the order of the variants is the order of versions that are equal up to here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Token<'a> {
    SuffixBefore(u8),
    Flaw,
    End,
    Revision(&'a str),
    Hash(&'a str),
    SuffixNumber(&'a str),
    SuffixAfter(u8),
    Letter(u8),
    /// Digits after a dot that start with a zero: compared as text.
    Padded(&'a str),
    Number(&'a str),
}

/// Which tokens may follow, in apk's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Digits,
    Letter,
    Suffix,
    SuffixNumber,
    Hash,
    Revision,
}

/// Takes a version apart; the last token is [`Token::End`] or [`Token::Flaw`].
pub(super) fn parse(version: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (digits, mut rest) = split_digits(version);
    if digits.is_empty() {
        return vec![Token::Flaw];
    }
    tokens.push(Token::Number(digits));
    let mut state = State::Digits;
    while !rest.is_empty() {
        let Some((token, after, next)) = next_token(rest, state) else {
            tokens.push(Token::Flaw);
            return tokens;
        };
        tokens.push(token);
        rest = after;
        state = next;
    }
    tokens.push(Token::End);
    tokens
}

fn next_token(text: &str, state: State) -> Option<(Token<'_>, &str, State)> {
    let first = *text.as_bytes().first()?;
    match first {
        b'a'..=b'z' if state == State::Digits => Some((Token::Letter(first), &text[1..], State::Letter)),
        b'.' if state == State::Digits => {
            let (digits, rest) = some_digits(&text[1..])?;
            let token = if digits.starts_with('0') { Token::Padded(digits) } else { Token::Number(digits) };
            Some((token, rest, State::Digits))
        }
        b'0'..=b'9' if state == State::Suffix => {
            let (digits, rest) = some_digits(text)?;
            Some((Token::SuffixNumber(digits), rest, State::SuffixNumber))
        }
        b'_' if state <= State::SuffixNumber => {
            let (name, rest) = split_while(&text[1..], |byte| byte.is_ascii_lowercase());
            let place = |names: &[&str]| names.iter().position(|known| *known == name);
            let token = match (place(&BEFORE_RELEASE), place(&AFTER_RELEASE)) {
                (Some(index), _) => Token::SuffixBefore(u8::try_from(index).ok()?),
                (None, Some(index)) => Token::SuffixAfter(u8::try_from(index).ok()?),
                (None, None) => return None,
            };
            Some((token, rest, State::Suffix))
        }
        b'~' if state < State::Hash => {
            let (hash, rest) = split_while(&text[1..], |byte| byte.is_ascii_hexdigit());
            (!hash.is_empty()).then_some((Token::Hash(hash), rest, State::Hash))
        }
        b'-' if state < State::Revision => {
            let (digits, rest) = some_digits(text.strip_prefix("-r")?)?;
            Some((Token::Revision(digits), rest, State::Revision))
        }
        _ => None,
    }
}

fn some_digits(text: &str) -> Option<(&str, &str)> {
    let (digits, rest) = split_digits(text);
    (!digits.is_empty()).then_some((digits, rest))
}

pub(super) fn compare(a: &[Token<'_>], b: &[Token<'_>]) -> Ordering {
    for (x, y) in a.iter().zip(b) {
        let order = match (x, y) {
            (Token::Number(x), Token::Number(y))
            | (Token::SuffixNumber(x), Token::SuffixNumber(y))
            | (Token::Revision(x), Token::Revision(y)) => compare_numbers(x, y),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

pub(super) fn write(tokens: &[Token<'_>], key: &mut KeyWriter) {
    for token in tokens {
        match token {
            Token::SuffixBefore(index) => key.tag(SUFFIX_BEFORE + index),
            Token::Flaw => key.tag(FLAW),
            Token::End => key.tag(END),
            Token::Revision(digits) => key.number(REVISION, digits),
            Token::Hash(hash) => {
                key.tag(HASH);
                key.text(hash);
            }
            Token::SuffixNumber(digits) => key.number(SUFFIX_NUMBER, digits),
            Token::SuffixAfter(index) => key.tag(SUFFIX_AFTER + index),
            Token::Letter(letter) => {
                key.tag(LETTER);
                key.tag(*letter);
            }
            Token::Padded(digits) => {
                key.tag(PADDED);
                key.text(digits);
            }
            Token::Number(digits) => key.number(NUMBER, digits),
        }
    }
}
