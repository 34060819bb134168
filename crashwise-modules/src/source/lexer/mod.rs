//! Tells code, strings and comments apart: one forward pass per file, never recursive, never failing.
//!
//! What is broken in the text costs little: a string that the language does not let run over a line end stops there.

mod heredoc;
mod literals;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use scan::{Opens, lex};

/// What a stretch of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    /// A comment, with its marks.
    Comment,
    /// A whole string literal with its quotes and prefix, or a regex literal.
    String,
    /// The first part of a string with code in it, up to and with the mark that opens the code.
    InterpolationStart,
    /// A part between two pieces of code.
    InterpolationMiddle,
    /// The last part, with the mark that closes the code and the quote.
    InterpolationEnd,
    /// A string that names variables without leaving it (PHP).
    Interpolated,
    /// A character literal.
    Char,
    /// A regex literal.
    Regex,
    /// Text around the code (PHP).
    Markup,
}

impl TokenKind {
    /// Whether it holds text that the program sees as a string.
    pub(crate) fn is_string(self) -> bool {
        !matches!(self, Self::Comment | Self::Markup | Self::Char | Self::Regex)
    }
}

/// A stretch of text that is not plain code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: TokenKind,
    /// Bytes of prefix and quote before the content, and of the quote behind it.
    pub(crate) open: u8,
    pub(crate) close: u8,
}

impl Token {
    /// The range of what stands between the quotes.
    pub(crate) fn content(&self) -> std::ops::Range<usize> {
        let start = (self.start + usize::from(self.open)).min(self.end);
        start..(self.end - usize::from(self.close).min(self.end - start))
    }
}

/// The token that holds an offset.
pub(crate) fn token_at(tokens: &[Token], offset: usize) -> Option<&Token> {
    let next = tokens.partition_point(|token| token.end <= offset);
    tokens.get(next).filter(|token| token.start <= offset)
}
