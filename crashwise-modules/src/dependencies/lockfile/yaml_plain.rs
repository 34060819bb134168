//! The YAML that lockfiles are written in, read line by line into a tree that borrows from the text.
//!
//! Maps by indentation, lists of scalars, maps and lists in brackets on one line, and texts in quotes without escapes.
//! For anything else [`parse`] says nothing, and the whole of YAML is read instead.

use std::borrow::Cow;

use super::tree::{Entry, MAX_DEPTH, MAX_VALUES, Node, Value};

/// The document as a tree; `None` if it is written in another way, is damaged or too large.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut reader = Reader { text, at: 0, line: Line::default(), values: 0 };
    reader.advance()?;
    let start = reader.line.at;
    if reader.line.body.is_empty() || reader.line.indent != 0 {
        return None;
    }
    let value = reader.block(0, 0)?;
    reader.line.body.is_empty().then_some(Node { at: start..text.trim_end().len(), value })
}

/// A line without its indentation.
#[derive(Debug, Clone, Copy, Default)]
struct Line<'a> {
    /// Empty at the end of the text.
    body: &'a str,
    at: usize,
    indent: usize,
}

struct Reader<'a> {
    text: &'a str,
    /// Where the line after the present one begins.
    at: usize,
    line: Line<'a>,
    values: usize,
}

impl<'a> Reader<'a> {
    /// Goes to the next line that says something.
    fn advance(&mut self) -> Option<()> {
        loop {
            let rest = self.text.get(self.at..)?;
            if rest.is_empty() {
                self.line = Line::default();
                return Some(());
            }
            let start = self.at;
            let length = memchr::memchr(b'\n', rest.as_bytes()).unwrap_or(rest.len());
            self.at = (start + length + 1).min(self.text.len());
            let line = rest[..length].trim_end_matches('\r');
            let body = line.trim_start_matches(' ');
            // Markers of documents, directives, anchors and tabs are read elsewhere.
            if body.starts_with('\t')
                || line.ends_with(' ')
                || line.starts_with("...")
                || line.starts_with(['%', '-']) && !line.starts_with("- ")
            {
                return None;
            }
            if body.is_empty() || body.starts_with('#') {
                continue;
            }
            let indent = line.len() - body.len();
            self.line = Line { body, at: start + indent, indent };
            return Some(());
        }
    }

    fn count(&mut self) -> Option<()> {
        self.values += 1;
        (self.values <= MAX_VALUES).then_some(())
    }

    /// The lines of one indentation: a map or a list.
    fn block(&mut self, indent: usize, depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.line.body.starts_with("- ") {
            let mut items = Vec::new();
            while self.line.indent == indent
                && let Some(item) = self.line.body.strip_prefix("- ")
            {
                let Line { body, at, .. } = self.line;
                let skipped = body.len() - item.trim_start().len();
                let item = item.trim_start();
                let node = self.value(item, at + skipped)?;
                // A map that begins on the line of its dash is read elsewhere.
                if matches!(&node.value, Value::Text(_)) && key_of(item).is_some() {
                    return None;
                }
                items.push(node);
                self.advance()?;
            }
            // The list may stand right below the key of its map, which goes on then.
            return (self.leaves(indent) || self.line.indent == indent).then_some(Value::List(items));
        }
        let mut entries: Vec<Entry<'a>> = Vec::new();
        while self.line.indent == indent && !self.line.body.is_empty() {
            let Line { body, at, .. } = self.line;
            let (key, written, rest) = key_of(body)?;
            let place = at..at + written;
            let value = rest.trim_start();
            let node = if value.is_empty() {
                self.advance()?;
                let inner = self.line;
                // A list may stand under its key without being moved in.
                let is_list = inner.indent == indent && inner.body.starts_with("- ");
                if inner.body.is_empty() || inner.indent < indent || inner.indent == indent && !is_list {
                    self.count()?;
                    let end = at + body.len();
                    Node { at: end..end, value: Value::Null }
                } else {
                    self.count()?;
                    let value = self.block(inner.indent, depth + 1)?;
                    let end = if self.line.body.is_empty() { self.text.len() } else { self.line.at };
                    Node { at: inner.at..end, value }
                }
            } else {
                let node = self.value(value, at + body.len() - value.len())?;
                self.advance()?;
                node
            };
            entries.push(Entry { key, at: place, node });
        }
        self.leaves(indent).then_some(Value::Map(entries))
    }

    /// Whether the line after a block belongs to a block above.
    fn leaves(&self, indent: usize) -> bool {
        self.line.body.is_empty() || self.line.indent < indent
    }

    /// A value that ends with its line.
    fn value(&mut self, text: &'a str, at: usize) -> Option<Node<'a>> {
        self.count()?;
        let mut flow = Flow { text, at: 0, start: at, values: self.values };
        let node = if text.starts_with(['{', '[']) { flow.node(0)? } else { flow.scalar(&[])? };
        self.values = flow.values;
        (flow.at == text.len() && self.values <= MAX_VALUES).then_some(node)
    }
}

/// The key at the start of a line, its length with quotes, and what follows its colon.
fn key_of(body: &str) -> Option<(Cow<'_, str>, usize, &str)> {
    let quote = body.chars().next().filter(|first| matches!(first, '"' | '\''));
    let (key, written) = if let Some(quote) = quote {
        let key = quoted(&body[1..], quote)?;
        (key, key.len() + 2)
    } else {
        // A colon inside a key has no space behind it.
        let end = body.find(": ").or_else(|| body.ends_with(':').then(|| body.len() - 1))?;
        let key = &body[..end];
        if !is_plain(key) || is_word(key) {
            return None;
        }
        (key, end)
    };
    let rest = body.get(written..)?.strip_prefix(':')?;
    (rest.is_empty() || rest.starts_with(' ')).then_some((Cow::Borrowed(key), written, rest))
}

/// A text up to its closing quote, without escapes.
fn quoted(text: &str, quote: char) -> Option<&str> {
    let end = text.find(quote)?;
    let inner = &text[..end];
    let is_escape = quote == '"' && inner.contains('\\') || text[end + 1..].starts_with(quote);
    (!is_escape).then_some(inner)
}

/// Whether a text means itself without quotes.
fn is_plain(text: &str) -> bool {
    const SPECIAL: [char; 17] =
        ['&', '*', '!', '|', '>', '%', '@', '`', '"', '\'', '{', '}', '[', ']', ',', '#', '?'];
    !text.is_empty()
        && !text.starts_with(SPECIAL)
        && text.trim() == text
        && !text.starts_with(':')
        && (!text.starts_with('-') || text[1..].starts_with(|c: char| c.is_alphanumeric() || c == '.'))
        && !text.contains(" #")
        && !text.contains(": ")
        && !text.ends_with(':')
}

/// Whether a text without quotes is no text.
fn is_word(text: &str) -> bool {
    matches!(text, "~" | "null" | "true" | "false")
}

/// What stands in brackets on one line.
struct Flow<'a> {
    text: &'a str,
    at: usize,
    /// Where the text stands in the file.
    start: usize,
    values: usize,
}

impl<'a> Flow<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(' ').len();
    }

    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let start = self.start + self.at;
        let close = match self.rest().as_bytes().first()? {
            b'{' => '}',
            b'[' => ']',
            _ => return self.scalar(&[',', '}', ']']),
        };
        self.at += 1;
        let (mut entries, mut items) = (Vec::new(), Vec::new());
        loop {
            self.skip();
            if self.rest().starts_with(close) {
                self.at += 1;
                break;
            }
            self.values += 1;
            if self.values > MAX_VALUES {
                return None;
            }
            if close == '}' {
                let (key, written, rest) = self.key()?;
                let from = self.start + self.at;
                self.at = self.text.len() - rest.len();
                self.skip();
                entries.push(Entry { key, at: from..from + written, node: self.node(depth + 1)? });
            } else {
                items.push(self.node(depth + 1)?);
            }
            self.skip();
            if self.rest().starts_with(',') {
                self.at += 1;
            } else if !self.rest().starts_with(close) {
                return None;
            }
        }
        let value = if close == '}' { Value::Map(entries) } else { Value::List(items) };
        Some(Node { at: start..self.start + self.at, value })
    }

    /// A key in brackets: as on a line, but nothing after it may be taken for a part of it.
    fn key(&self) -> Option<(Cow<'a, str>, usize, &'a str)> {
        let rest = self.rest();
        if rest.starts_with(['"', '\'']) {
            return key_of(rest);
        }
        let end = rest.find(": ")?;
        let key = &rest[..end];
        let is_simple = is_plain(key) && !is_word(key) && !key.contains(['{', '}', '[', ']', ',']);
        is_simple.then_some((Cow::Borrowed(key), end, &rest[end + 1..]))
    }

    /// A text, up to one of the ends or that of the line.
    fn scalar(&mut self, ends: &[char]) -> Option<Node<'a>> {
        let start = self.at;
        let rest = self.rest();
        let value = if let Some(quote) = rest.chars().next().filter(|first| matches!(first, '"' | '\'')) {
            let text = quoted(&rest[1..], quote)?;
            self.at += text.len() + 2;
            Value::Text(Cow::Borrowed(text))
        } else {
            let end = rest.find(ends).unwrap_or(rest.len());
            let text = rest[..end].trim_end_matches(' ');
            if !is_plain(text) {
                return None;
            }
            self.at += text.len();
            match text {
                "~" | "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => Value::Text(Cow::Borrowed(text)),
            }
        };
        Some(Node { at: self.start + start..self.start + self.at, value })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

    use super::super::tree::{Node, Value};
    use super::super::yaml;
    use super::parse;

    /// What a tree holds, with the places of its keys and texts.
    fn flat(node: &Node<'_>, out: &mut Vec<String>) {
        match &node.value {
            Value::Map(entries) => {
                out.push("map".to_owned());
                for entry in entries {
                    out.push(format!("{} {:?}", entry.key, entry.at));
                    flat(&entry.node, out);
                }
                out.push("end".to_owned());
            }
            Value::List(items) => {
                out.push("list".to_owned());
                for item in items {
                    flat(item, out);
                }
                out.push("end".to_owned());
            }
            Value::Text(text) => out.push(format!("text {text} {:?}", node.at)),
            other => out.push(format!("{other:?}")),
        }
    }

    fn check(text: &str) -> bool {
        let Some(found) = parse(text) else { return false };
        let whole = yaml::parse_whole(text).unwrap_or_else(|flaw| panic!("{text:?}: {flaw:?}"));
        let (mut own, mut other) = (Vec::new(), Vec::new());
        flat(&found, &mut own);
        flat(&whole, &mut other);
        assert_eq!(own, other, "{text:?}");
        true
    }

    #[test]
    fn what_lockfiles_hold_is_read_as_yaml_reads_it() {
        for text in [
            "lockfileVersion: '9.0'\n\nsettings:\n  autoInstallPeers: true\n\nimporters:\n\n  .:\n    dependencies:\n      a:\n        specifier: ^1.0.0\n        version: 1.0.0(p@2.0.0)\n",
            "packages:\n  '@s/a@1.0.0':\n    resolution: {integrity: sha512-a/b+c==, tarball: https://x.example/a.tgz}\n    engines: {node: '>=14'}\n    cpu: [x64, arm64]\n    hasBin: true\n\n  b@1.0.0: {}\n",
            "snapshots:\n  a@1.0.0(p@2.0.0):\n    transitivePeerDependencies:\n      - supports-color\n      - '@s/x'\n  b@1.0.0: {}\n",
            "a:\n- x\n- y\nb: 1\n",
            "a: https://x.example/y#z\n# comment\nb:\n",
            "packages:\r\n  a:\r\n    version: \"1.0\"\r\n",
            "ü: é\nx: [a, {b: c}]\n",
        ] {
            assert!(check(text), "{text:?}");
        }
        for text in [
            "",
            "---\na: 1\n",
            "a: &x 1\n",
            "a: |\n  x\n",
            "a: \"x\\n\"\n",
            "a: 'it''s'\n",
            "a: x # y\n",
            "a:\n    b: 1\n  c: 2\n",
            "a: [1,\n  2]\n",
            "- a: 1\n",
            "a: b: c\n",
            "a\n",
        ] {
            assert!(parse(text).is_none(), "{text:?}");
        }
    }

    /// Pieces of lines that may mean something else together.
    const PIECES: [&str; 35] = [
        "a", "b1", ": ", ":", "\n", "\n  ", "\n    ", "- ", "'", "\"", "{", "}", "[", "]", ", ", ",", " ",
        "#", " #", "1.0", "true", "null", "~", "&", "*", "!", "|", ">", "@", "`", "é", "?", "-", "\r\n", "%",
    ];

    #[test]
    fn it_reads_nothing_that_yaml_reads_otherwise() {
        // The same texts every time: a text that differs is to be found by whoever changes the reader.
        let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mut runner = TestRunner::new_with_rng(ProptestConfig::with_cases(3000), rng);
        let texts = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24);
        let read = runner.run(&texts, |pieces| {
            check(&pieces.concat());
            Ok(())
        });
        assert_eq!(read, Ok(()));
    }
}
