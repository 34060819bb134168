//! YAML into a tree; anchors and a second document are refused.

use std::borrow::Cow;
use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::flaw::Flaw;
use super::tree::{Entry, MAX_DEPTH, MAX_VALUES, Node, Value};
use super::yaml_plain;

pub(super) fn parse(text: &str) -> Result<Node<'_>, Flaw> {
    // Tools write a small part of YAML, which is read at once; what that does not know is for the whole of it.
    match yaml_plain::parse(text) {
        Some(tree) => Ok(tree),
        None => parse_whole(text),
    }
}

/// Reads all of YAML but anchors.
pub(super) fn parse_whole(text: &str) -> Result<Node<'static>, Flaw> {
    let mut builder =
        Builder { offsets: Offsets::new(text), open: Vec::new(), done: None, flaw: None, values: 0 };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = builder.offsets.byte(error.marker().index());
                return Err(Flaw::new(at, "", error.info().to_owned()));
            }
        }
        if let Some(flaw) = builder.flaw {
            return Err(flaw);
        }
    }
    builder.done.ok_or_else(|| Flaw::new(0, "", "the file is empty"))
}

/// Turns the character positions of the parser, which only grow, into bytes.
struct Offsets<'a> {
    text: &'a str,
    is_ascii: bool,
    characters: usize,
    bytes: usize,
}

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, is_ascii: text.is_ascii(), characters: 0, bytes: 0 }
    }

    fn byte(&mut self, character: usize) -> usize {
        if self.is_ascii {
            return character.min(self.text.len());
        }
        if character < self.characters {
            (self.characters, self.bytes) = (0, 0);
        }
        for c in self.text[self.bytes..].chars().take(character - self.characters) {
            self.characters += 1;
            self.bytes += c.len_utf8();
        }
        self.bytes
    }
}

/// The entries of an open map, and the key that waits for its value.
type OpenMap = (Vec<Entry<'static>>, Option<(String, Range<usize>)>);

struct Open {
    start: usize,
    items: Vec<Node<'static>>,
    entries: Option<OpenMap>,
}

struct Builder<'a> {
    offsets: Offsets<'a>,
    open: Vec<Open>,
    done: Option<Node<'static>>,
    flaw: Option<Flaw>,
    values: usize,
}

impl Builder<'_> {
    fn fail(&mut self, at: usize, message: &str) {
        self.flaw.get_or_insert_with(|| Flaw::new(at, "", message));
    }

    fn add(&mut self, node: Node<'static>) {
        self.values += 1;
        if self.values > MAX_VALUES {
            self.fail(node.at.start, "holds too many values");
        }
        match self.open.last_mut() {
            None if self.done.is_some() => self.fail(node.at.start, "there is a second document"),
            None => self.done = Some(node),
            Some(Open { entries: Some((entries, waiting)), .. }) => match waiting.take() {
                Some((key, at)) => entries.push(Entry { key: Cow::Owned(key), at, node }),
                None => match node.text() {
                    Some(key) => *waiting = Some((key.to_owned(), node.at.clone())),
                    None => self.fail(node.at.start, "a key is no text"),
                },
            },
            Some(open) => open.items.push(node),
        }
    }

    fn open(&mut self, start: usize, is_map: bool) {
        if self.open.len() >= MAX_DEPTH {
            self.fail(start, "is nested too deeply");
            return;
        }
        let entries = is_map.then(|| (Vec::new(), None));
        self.open.push(Open { start, items: Vec::new(), entries });
    }

    fn close(&mut self, end: usize) {
        let Some(open) = self.open.pop() else { return };
        let value = match open.entries {
            Some((entries, _)) => Value::Map(entries),
            None => Value::List(open.items),
        };
        self.add(Node { at: open.start..end.max(open.start), value });
    }
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) {
        let start = self.offsets.byte(span.start.index());
        let end = self.offsets.byte(span.end.index());
        match event {
            Event::Scalar(text, style, _, _) => {
                let value = match text.as_ref() {
                    _ if style != ScalarStyle::Plain => Value::Text(text.into_owned().into()),
                    "" | "~" | "null" => Value::Null,
                    "true" => Value::Bool(true),
                    "false" => Value::Bool(false),
                    _ => Value::Text(text.into_owned().into()),
                };
                self.add(Node { at: start..end, value });
            }
            Event::SequenceStart(..) => self.open(start, false),
            Event::MappingStart(..) => self.open(start, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(end),
            Event::Alias(_) => self.fail(start, "an anchor is used, which is not read"),
            _ => {}
        }
    }
}
