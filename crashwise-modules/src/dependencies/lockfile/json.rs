//! JSON into a tree; comments and commas before a closing bracket are read too, because `bun.lock` has them.

use std::borrow::Cow;

use super::flaw::Flaw;
use super::tree::{Entry, MAX_DEPTH, Node, Value};

pub(super) fn parse(text: &str) -> Result<Node<'_>, Flaw> {
    let mut reader = Reader { text, at: 0 };
    reader.skip()?;
    let node = reader.value(0)?;
    reader.skip()?;
    if reader.at < text.len() {
        return Err(reader.flaw("expected the end of the file"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn flaw(&self, message: &str) -> Flaw {
        let message = if self.at >= self.text.len() {
            "the file ends too early".to_owned()
        } else {
            message.to_owned()
        };
        Flaw::new(self.at.min(self.text.len()), "", message)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
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

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Flaw> {
        if depth > MAX_DEPTH {
            return Err(self.flaw("is nested too deeply"));
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(_) => self.word()?,
            None => return Err(self.flaw("expected a value")),
        };
        Ok(Node { at: start..self.at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value<'a>, Flaw> {
        self.at += 1;
        let mut entries = Vec::new();
        loop {
            self.skip()?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(Value::Map(entries));
            }
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.flaw("expected a key in quotes"));
            }
            let key = self.string()?;
            let at = start..self.at;
            self.skip()?;
            self.expect(b':', "expected `:`")?;
            self.skip()?;
            entries.push(Entry { key, at, node: self.value(depth + 1)? });
            self.separator(b'}')?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, Flaw> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.separator(b']')?;
        }
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

    fn expect(&mut self, byte: u8, message: &str) -> Result<(), Flaw> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.flaw(message))
        }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Flaw> {
        let open = self.at;
        let body = &self.text[open + 1..];
        let plain = body.bytes().position(|byte| matches!(byte, b'"' | b'\\' | b'\n'));
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

    fn word(&mut self) -> Result<Value<'a>, Flaw> {
        let rest = &self.text[self.at..];
        let length = rest
            .bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')))
            .unwrap_or(rest.len());
        let word = &rest[..length];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ if word.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                Value::Number(Cow::Borrowed(word))
            }
            _ => return Err(self.flaw("expected a value")),
        };
        self.at += length;
        Ok(value)
    }
}
