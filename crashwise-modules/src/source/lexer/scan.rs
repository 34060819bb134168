//! The pass over the text.

use super::heredoc::{self, Heredoc};
use super::literals;
use super::{Token, TokenKind};
use crate::source::Language;

/// How deep code in strings in code may go; deeper code counts as string.
const MAX_DEPTH: usize = 32;

/// A string that the scanner is in the middle of, because code stands in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) close: Close,
    /// Braces opened in the code so far.
    pub(super) braces: u32,
}

/// How a string with code in it goes on and ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Close {
    /// The quote, `count` times.
    pub(super) quote: u8,
    pub(super) count: u8,
    /// The bracket that nests with the quote (`%Q(…)` of Ruby), or 0.
    pub(super) nest: u8,
    /// The bytes that open code in it.
    pub(super) code: Code,
    /// Whether a backslash escapes.
    pub(super) escapes: bool,
    /// Whether it may run over line ends.
    pub(super) multiline: bool,
}

/// What opens code in a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Never,
    /// `${` of JavaScript.
    Dollar,
    /// `#{` of Ruby.
    Hash,
    /// `{` of Python and C#, where `{{` is a brace.
    Brace,
}

pub(super) struct Scanner<'t> {
    pub(super) text: &'t [u8],
    pub(super) language: Language,
    pub(super) at: usize,
    pub(super) tokens: Vec<Token>,
    pub(super) open: Vec<Open>,
    pub(super) heredocs: Vec<Heredoc>,
}

/// The comments, strings and other stretches of `text` that are not plain code, in order and without overlap.
pub(crate) fn lex(text: &[u8], language: Language) -> Vec<Token> {
    let tokens = Vec::with_capacity(text.len() / 64);
    let mut scanner = Scanner { text, language, at: 0, tokens, open: Vec::new(), heredocs: Vec::new() };
    scanner.run();
    scanner.tokens
}

/// The bytes at which something other than plain code may begin.
const fn interesting(language: Language) -> [bool; 256] {
    let mut table = [false; 256];
    let bytes: &[u8] = match language {
        Language::Python => b"#\"'{}",
        Language::JavaScript => b"/\"'`{}",
        Language::Java | Language::C | Language::Rust => b"/\"'",
        Language::Go => b"/\"'`",
        Language::CSharp => b"/\"'{}",
        Language::Php => b"/#\"'`<?",
        Language::Ruby => b"#/\"'`%<={}\n_",
    };
    let mut n = 0;
    while n < bytes.len() {
        table[bytes[n] as usize] = true;
        n += 1;
    }
    table
}

static TABLES: [[bool; 256]; Language::ALL.len()] = {
    let mut tables = [[false; 256]; Language::ALL.len()];
    let mut n = 0;
    while n < tables.len() {
        tables[n] = interesting(Language::ALL[n]);
        n += 1;
    }
    tables
};

/// The offset of the first byte that is in a table. Eight are looked at before the first branch.
fn first_of(table: &[bool; 256], text: &[u8]) -> Option<usize> {
    let has = |byte: &u8| table[usize::from(*byte)];
    let (chunks, _) = text.as_chunks::<8>();
    let plain =
        chunks.iter().take_while(|chunk| !chunk.iter().fold(false, |any, byte| any | has(byte))).count();
    text[8 * plain..].iter().position(has).map(|ahead| 8 * plain + ahead)
}

/// The bytes with which a comment or a string may begin or go on; all else is code where code stands before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opens {
    table: &'static [bool; 256],
    /// Whether a lone `/` may begin something.
    slash: bool,
}

impl Opens {
    pub(crate) fn of(language: Language) -> Self {
        let table = &TABLES[Language::ALL.iter().position(|one| *one == language).unwrap_or(0)];
        Self { table, slash: has_regexes(language) }
    }

    /// Whether something other than code may begin at an offset.
    pub(crate) fn at(self, text: &[u8], at: usize) -> bool {
        let next = text.get(at + 1);
        self.table[usize::from(text[at])]
            && match text[at] {
                // Code in a string ends with the brace that closes.
                b'{' => false,
                b'/' => self.slash || matches!(next, Some(b'/' | b'*')),
                b'<' => next == Some(&b'<'),
                b'?' => next == Some(&b'>'),
                b'_' | b'=' => at == 0 || text[at - 1] == b'\n',
                _ => true,
            }
    }
}

fn has_regexes(language: Language) -> bool {
    matches!(language, Language::JavaScript | Language::Ruby)
}

impl Scanner<'_> {
    fn run(&mut self) {
        let table = Opens::of(self.language).table;
        if self.language == Language::Php {
            self.markup();
        }
        if self.text.starts_with(b"#!") && self.language != Language::Php {
            self.comment_to_line_end(0);
        }
        while let Some(ahead) = first_of(table, self.rest()) {
            self.at += ahead;
            self.step();
        }
        // A string with code in it that never ends.
        self.at = self.text.len();
    }

    pub(super) fn peek(&self, ahead: usize) -> u8 {
        self.text.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn rest(&self) -> &[u8] {
        &self.text[self.at..]
    }

    pub(super) fn push(&mut self, start: usize, end: usize, kind: TokenKind, (open, close): (usize, usize)) {
        let small = |n: usize| u8::try_from(n).unwrap_or(u8::MAX);
        let end = end.min(self.text.len());
        self.tokens.push(Token { start, end, kind, open: small(open), close: small(close) });
        self.at = end;
    }

    fn step(&mut self) {
        match self.text[self.at] {
            b'/' => self.slash(),
            b'#' if self.language == Language::Php && self.peek(1) == b'[' => self.at += 1,
            b'#' => self.comment_to_line_end(self.at),
            b'"' | b'\'' | b'`' => literals::string(self),
            b'{' => {
                if let Some(open) = self.open.last_mut() {
                    open.braces += 1;
                }
                self.at += 1;
            }
            b'}' => self.closing_brace(),
            b'%' => literals::percent(self),
            b'<' => heredoc::begin(self),
            b'\n' => heredoc::bodies(self),
            b'=' => self.ruby_block_comment(),
            b'_' => self.ruby_end(),
            b'?' if self.peek(1) == b'>' => {
                self.at += 2;
                self.markup();
            }
            _ => self.at += 1,
        }
    }

    fn closing_brace(&mut self) {
        match self.open.last_mut() {
            Some(open) if open.braces == 0 => {
                let close = open.close;
                self.open.pop();
                let start = self.at;
                self.at += 1;
                self.string_body(start, 1, close, false);
            }
            Some(open) => {
                open.braces -= 1;
                self.at += 1;
            }
            None => self.at += 1,
        }
    }

    /// Reads a string from behind its opening quote, or from behind code in it, to its end or to the next code.
    pub(super) fn string_body(&mut self, start: usize, opened: usize, close: Close, first: bool) {
        let mut at = self.at;
        let mut nested = 0_u32;
        while let Some(&byte) = self.text.get(at) {
            let next = self.text.get(at + 1).copied().unwrap_or(0);
            match byte {
                b'\\' if close.escapes => at += 2,
                b'\n' if !close.multiline => break,
                _ if byte == close.quote && nested > 0 => {
                    nested -= 1;
                    at += 1;
                }
                _ if byte == close.quote && self.closes(at, close) => {
                    let count = usize::from(close.count);
                    let kind = if first { TokenKind::String } else { TokenKind::InterpolationEnd };
                    self.push(start, at + count, kind, (opened, count));
                    return;
                }
                _ if byte == close.nest && close.nest != 0 => {
                    nested += 1;
                    at += 1;
                }
                b'$' | b'#' if next == b'{' && close.code == code_mark(byte) => {
                    if self.open.len() < MAX_DEPTH {
                        self.enter_code(start, at + 2, opened, close, first);
                        return;
                    }
                    at += 2;
                }
                b'{' if close.code == Code::Brace && next == b'{' => at += 2,
                b'{' if close.code == Code::Brace && self.open.len() < MAX_DEPTH => {
                    self.enter_code(start, at + 1, opened, close, first);
                    return;
                }
                _ => at += 1,
            }
        }
        let kind = if first { TokenKind::String } else { TokenKind::InterpolationEnd };
        self.push(start, at, kind, (opened, 0));
    }

    fn enter_code(&mut self, start: usize, end: usize, opened: usize, close: Close, first: bool) {
        let kind = if first { TokenKind::InterpolationStart } else { TokenKind::InterpolationMiddle };
        self.push(start, end, kind, (opened, if close.code == Code::Brace { 1 } else { 2 }));
        self.open.push(Open { close, braces: 0 });
    }

    fn closes(&self, at: usize, close: Close) -> bool {
        (1..usize::from(close.count)).all(|n| self.text.get(at + n) == Some(&close.quote))
    }

    fn slash(&mut self) {
        match self.peek(1) {
            b'/' if self.language != Language::Ruby => self.comment_to_line_end(self.at),
            b'*' if self.language != Language::Ruby => self.block_comment(),
            _ if has_regexes(self.language) => literals::regex(self),
            _ => self.at += 1,
        }
    }

    fn comment_to_line_end(&mut self, start: usize) {
        let mut end = start;
        loop {
            end = memchr::memchr(b'\n', &self.text[end..]).map_or(self.text.len(), |n| end + n);
            let continued = self.language == Language::C && self.text[..end].ends_with(b"\\");
            if !continued || end == self.text.len() {
                break;
            }
            end += 1;
        }
        if self.language == Language::Php
            && let Some(n) = memchr::memmem::find(&self.text[start..end], b"?>")
        {
            end = start + n;
        }
        self.push(start, end, TokenKind::Comment, (0, 0));
    }

    fn block_comment(&mut self) {
        let start = self.at;
        let mut at = start + 2;
        let mut depth = 1_u32;
        while depth > 0 {
            let Some(n) = memchr::memchr2(b'*', b'/', &self.text[at.min(self.text.len())..]) else {
                at = self.text.len();
                break;
            };
            at += n;
            match (self.text[at], self.text.get(at + 1)) {
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    at += 2;
                }
                (b'/', Some(b'*')) if self.language == Language::Rust => {
                    depth += 1;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.push(start, at, TokenKind::Comment, (0, 0));
    }

    fn at_line_start(&self) -> bool {
        self.at == 0 || self.text[self.at - 1] == b'\n'
    }

    fn ruby_block_comment(&mut self) {
        if self.at_line_start() && self.rest().starts_with(b"=begin") {
            let end =
                memchr::memmem::find(self.rest(), b"\n=end").map_or(self.text.len(), |n| self.at + n + 5);
            self.push(self.at, end, TokenKind::Comment, (0, 0));
        } else {
            self.at += 1;
        }
    }

    fn ruby_end(&mut self) {
        if self.at_line_start()
            && matches!(self.rest(), [b'_', b'_', b'E', b'N', b'D', b'_', b'_', b'\n' | b'\r', ..])
        {
            self.push(self.at, self.text.len(), TokenKind::Comment, (0, 0));
        } else {
            self.at += 1;
        }
    }

    /// Text up to and with the next opening tag of PHP.
    fn markup(&mut self) {
        let start = self.at;
        let mut at = start;
        loop {
            let Some(n) = memchr::memmem::find(&self.text[at..], b"<?") else {
                self.push(start, self.text.len(), TokenKind::Markup, (0, 0));
                return;
            };
            at += n + 2;
            let rest = &self.text[at..];
            let skip = if rest.len() >= 3 && rest[..3].eq_ignore_ascii_case(b"php") {
                3
            } else if rest.starts_with(b"=") {
                1
            } else if rest.starts_with(b"xml") {
                continue;
            } else {
                0
            };
            self.push(start, at + skip, TokenKind::Markup, (0, 0));
            return;
        }
    }
}

fn code_mark(byte: u8) -> Code {
    if byte == b'$' { Code::Dollar } else { Code::Hash }
}
