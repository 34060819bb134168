//! A file that is being matched: its text, what is code in it, and helpers to move about.

use crate::source::Language;
use crate::source::lexer::{Token, TokenKind, lex, token_at};
use std::ops::Range;

/// A file that is being matched.
#[derive(Debug)]
pub(crate) struct SourceText<'t> {
    pub(crate) bytes: &'t [u8],
    pub(crate) language: Language,
    pub(crate) tokens: Vec<Token>,
    /// The text with comments blank and the content of strings filled with [`FILLER`]; offsets are the same.
    pub(crate) code: Vec<u8>,
}

/// Stands for a byte of a string.
pub(crate) const FILLER: u8 = 1;

impl<'t> SourceText<'t> {
    pub(crate) fn new(bytes: &'t [u8], language: Language) -> Self {
        let tokens = lex(bytes, language);
        let mut code = bytes.to_vec();
        for token in &tokens {
            let (range, filler) = match token.kind {
                TokenKind::Comment | TokenKind::Markup => (token.start..token.end, b' '),
                _ => (token.content(), FILLER),
            };
            // Every byte is written, so that many are written at once.
            for byte in &mut code[range] {
                *byte = if *byte == b'\n' { b'\n' } else { filler };
            }
        }
        Self { bytes, language, tokens, code }
    }

    pub(crate) fn token_at(&self, offset: usize) -> Option<&Token> {
        token_at(&self.tokens, offset)
    }

    /// The index of the first token that ends behind an offset.
    pub(crate) fn token_from(&self, offset: usize) -> usize {
        self.tokens.partition_point(|token| token.end <= offset)
    }

    /// The tokens that start in a range.
    pub(crate) fn tokens_in(&self, range: &Range<usize>) -> &[Token] {
        let first = self.tokens.partition_point(|token| token.start < range.start);
        let last = self.tokens.partition_point(|token| token.start < range.end);
        &self.tokens[first..last.max(first)]
    }

    /// The pieces of a range that are code.
    pub(crate) fn code_in(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let mut at = range.start;
        let end = range.end;
        let mut next = self.token_from(at);
        std::iter::from_fn(move || {
            while at < end {
                match self.tokens.get(next) {
                    Some(token) if token.start < end => {
                        let piece = at..token.start.max(at);
                        at = token.end;
                        next += 1;
                        if !piece.is_empty() {
                            return Some(piece);
                        }
                    }
                    _ => {
                        let piece = at..end;
                        at = end;
                        return Some(piece);
                    }
                }
            }
            None
        })
    }

    /// The first offset at or behind `at`, before `end`, that is neither white space nor comment.
    pub(crate) fn skip_space(&self, at: usize, end: usize) -> usize {
        let end = end.min(self.code.len());
        self.code
            .get(at..end)
            .and_then(|rest| rest.iter().position(|b| !is_space(*b)))
            .map_or(end, |n| at + n)
    }

    /// The offset behind the last byte before `at` that is neither white space nor comment.
    pub(crate) fn skip_space_back(&self, at: usize) -> usize {
        let floor = at.saturating_sub(4096);
        self.code[floor..at].iter().rposition(|b| !is_space(*b)).map_or(floor, |n| floor + n + 1)
    }

    /// The identifier that ends at `at`.
    pub(crate) fn word_before(&self, at: usize) -> &[u8] {
        let length = self.code[..at].iter().rev().take(128).take_while(|b| is_word(**b)).count();
        &self.code[at - length..at]
    }

    /// The lines that a range touches, at most `limit` bytes to each side of it.
    pub(crate) fn lines_of(&self, range: &Range<usize>, limit: usize) -> Range<usize> {
        let floor = range.start.saturating_sub(limit);
        let ceiling = range.end.saturating_add(limit).min(self.bytes.len());
        let start = memchr::memrchr(b'\n', &self.bytes[floor..range.start]).map_or(floor, |n| floor + n + 1);
        let end = memchr::memchr(b'\n', &self.bytes[range.end..ceiling]).map_or(ceiling, |n| range.end + n);
        start..end
    }

    /// White space before the first word of the line that holds `at`.
    pub(crate) fn indent(&self, at: usize) -> usize {
        let start = self.lines_of(&(at..at), 4096).start;
        self.code[start..].iter().take_while(|b| matches!(b, b' ' | b'\t')).count()
    }
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b'\\'
}
