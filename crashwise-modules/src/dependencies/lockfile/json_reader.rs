//! JSON token by token, with the bytes of each; what a caller passes over is checked and not kept.
//!
//! Comments and commas before a closing bracket are read too, because `bun.lock` has them.

use std::borrow::Cow;
use std::ops::Range;

use super::flaw::Flaw;
use super::tree::MAX_DEPTH;

/// A word that is no text: a number stays as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
}

/// Reads a value, and gets its key with the bytes of that.
pub(super) type OnEntry<'f, 'a> =
    dyn FnMut(&mut Reader<'a>, Cow<'a, str>, Range<usize>) -> Result<(), Flaw> + 'f;

/// Where in a text a caller is.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// At the first value of a text.
    pub(super) fn new(text: &'a str) -> Result<Self, Flaw> {
        let mut reader = Self { text, at: 0, depth: 0 };
        reader.skip()?;
        Ok(reader)
    }

    /// The next byte, which is the first of a value if one is due.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Flaw> {
        self.skip()?;
        if self.at < self.text.len() {
            return Err(self.flaw("expected the end of the file"));
        }
        Ok(())
    }

    pub(super) fn flaw(&self, message: &str) -> Flaw {
        let message = if self.at >= self.text.len() {
            "the file ends too early".to_owned()
        } else {
            message.to_owned()
        };
        Flaw::new(self.at.min(self.text.len()), "", message)
    }

    /// Reads the map that begins here; `entry` reads each value, and gets its key.
    pub(super) fn map(&mut self, entry: &mut OnEntry<'_, 'a>) -> Result<(), Flaw> {
        self.open()?;
        loop {
            self.skip()?;
            if self.close(b'}') {
                return Ok(());
            }
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.flaw("expected a key in quotes"));
            }
            let key = self.string()?;
            let at = start..self.at;
            self.skip()?;
            if self.peek() != Some(b':') {
                return Err(self.flaw("expected `:`"));
            }
            self.at += 1;
            self.skip()?;
            entry(self, key, at)?;
            self.separator(b'}')?;
        }
    }

    /// Reads the list that begins here; `item` reads each value.
    pub(super) fn list(&mut self, item: &mut dyn FnMut(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.open()?;
        loop {
            self.skip()?;
            if self.close(b']') {
                return Ok(());
            }
            item(self)?;
            self.separator(b']')?;
        }
    }

    fn open(&mut self) -> Result<(), Flaw> {
        if self.depth > MAX_DEPTH {
            return Err(self.flaw("is nested too deeply"));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> bool {
        let closes = self.peek() == Some(bracket);
        if closes {
            self.at += 1;
            self.depth -= 1;
        }
        closes
    }

    fn separator(&mut self, close: u8) -> Result<(), Flaw> {
        self.skip()?;
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == close => {}
            _ => return Err(self.flaw("expected `,` or a closing bracket")),
        }
        Ok(())
    }

    /// Passes over the value that begins here.
    pub(super) fn pass(&mut self) -> Result<(), Flaw> {
        match self.peek() {
            Some(b'{') => self.map(&mut |reader, _, _| reader.pass()),
            Some(b'[') => self.list(&mut Self::pass),
            Some(b'"') => self.string().map(drop),
            _ => self.word().map(drop),
        }
    }

    /// The text that begins here, or a number as it is written; any other value is passed over.
    pub(super) fn text(&mut self) -> Result<Option<Cow<'a, str>>, Flaw> {
        match self.peek() {
            Some(b'"') => self.string().map(Some),
            Some(b'{' | b'[') => self.pass().map(|()| None),
            _ => Ok(match self.word()? {
                Word::Number(number) => Some(Cow::Borrowed(number)),
                _ => None,
            }),
        }
    }

    /// Whether the value that begins here is `true`; it is passed over.
    pub(super) fn is_true(&mut self) -> Result<bool, Flaw> {
        match self.peek() {
            Some(b'{' | b'[' | b'"') => self.pass().map(|()| false),
            _ => Ok(self.word()? == Word::Bool(true)),
        }
    }

    /// Passes white space and comments.
    fn skip(&mut self) -> Result<(), Flaw> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                Some(b'/') => {
                    let rest = &self.text[self.at..];
                    let length = if rest.starts_with("//") {
                        rest.find('\n').unwrap_or(rest.len())
                    } else if rest.starts_with("/*") {
                        rest.find("*/").map_or(rest.len(), |end| end + 2)
                    } else {
                        return Err(self.flaw("expected a value"));
                    };
                    self.at += length;
                }
                _ => return Ok(()),
            }
        }
    }

    /// The text in quotes that begins here.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        let open = self.at;
        let body = &self.text[open + 1..];
        let plain = memchr::memchr3(b'"', b'\\', b'\n', body.as_bytes());
        if let Some(length) = plain
            && body.as_bytes()[length] == b'"'
        {
            self.at = open + length + 2;
            return Ok(Cow::Borrowed(&body[..length]));
        }
        let mut end = 0;
        let bytes = body.as_bytes();
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(b'\n') | None => {
                    self.at = (open + 1 + end).min(self.text.len());
                    return Err(self.flaw("a text in quotes does not end on its line"));
                }
                Some(_) => end += 1,
            }
        }
        self.at = open + end + 2;
        // The quotes and escapes are JSON's own, so its reader decodes them.
        serde_json::from_str(&self.text[open..self.at])
            .map(Cow::Owned)
            .map_err(|_| Flaw::new(open, "", "a text holds an escape that is no JSON"))
    }

    /// The word that begins here.
    pub(super) fn word(&mut self) -> Result<Word<'a>, Flaw> {
        let rest = &self.text[self.at..];
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let length = rest.bytes().position(|byte| !is_part(byte)).unwrap_or(rest.len());
        let text = &rest[..length];
        let word = match text {
            "null" => Word::Null,
            "true" => Word::Bool(true),
            "false" => Word::Bool(false),
            _ if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => Word::Number(text),
            _ => return Err(self.flaw("expected a value")),
        };
        self.at += length;
        Ok(word)
    }
}
