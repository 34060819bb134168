//! A document as a tree whose parts know where they stand; JSON, TOML and YAML are read into it.

use std::borrow::Cow;
use std::ops::Range;

use super::flaw::Flaw;

/// Deepest nesting that is read.
pub(super) const MAX_DEPTH: usize = 64;
/// Most values of one document that is kept as a tree.
pub(super) const MAX_VALUES: usize = 4_000_000;

/// A value and its bytes in the text.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) at: Range<usize>,
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// A number as it is written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Map(Vec<Entry<'a>>),
}

/// A key, its bytes in the text, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    pub(super) key: Cow<'a, str>,
    pub(super) at: Range<usize>,
    pub(super) node: Node<'a>,
}

impl<'a> Node<'a> {
    /// The value of a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node<'a>> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The value below several keys.
    pub(super) fn path(&self, keys: &[&str]) -> Option<&Node<'a>> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entries of the map below a key.
    pub(super) fn entries_of(&self, key: &str) -> &[Entry<'a>] {
        self.get(key).map_or(&[], Node::entries)
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Node<'a>] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The items of the list below a key.
    pub(super) fn items_of(&self, key: &str) -> &[Node<'a>] {
        self.get(key).map_or(&[], Node::items)
    }

    /// A text, or a number as it is written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The text below a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// Whether the value below a key is `true`.
    pub(super) fn is_true(&self, key: &str) -> bool {
        matches!(self.get(key).map(|node| &node.value), Some(Value::Bool(true)))
    }

    /// The text below a key, or what is wrong.
    pub(super) fn required(&self, key: &str) -> Result<&str, Flaw> {
        self.text_of(key).ok_or_else(|| Flaw::new(self.at.start, key, "is missing or no text"))
    }

    /// This node if it is a map, or what is wrong.
    pub(super) fn into_map(self, what: &str) -> Result<Self, Flaw> {
        match self.value {
            Value::Map(_) => Ok(self),
            _ => Err(Flaw::new(self.at.start, "", format!("expected {what}"))),
        }
    }
}
