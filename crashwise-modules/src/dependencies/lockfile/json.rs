//! JSON into a tree.

use std::borrow::Cow;

use super::flaw::Flaw;
use super::json_reader::{Reader, Word};
use super::tree::{Entry, MAX_VALUES, Node, Value};

pub(super) fn parse(text: &str) -> Result<Node<'_>, Flaw> {
    let mut reader = Reader::new(text)?;
    let node = value(&mut reader, &mut 0)?;
    reader.end()?;
    Ok(node)
}

/// The value at which a reader is, as a tree; `count` is how many values were read before.
pub(super) fn value<'a>(reader: &mut Reader<'a>, count: &mut usize) -> Result<Node<'a>, Flaw> {
    *count += 1;
    if *count > MAX_VALUES {
        return Err(reader.flaw(&format!("holds more than {MAX_VALUES} values")));
    }
    let start = reader.at();
    let value = match reader.peek() {
        Some(b'{') => {
            let mut entries = Vec::new();
            reader.map(&mut |reader, key, at| {
                entries.push(Entry { key, at, node: value(reader, count)? });
                Ok(())
            })?;
            Value::Map(entries)
        }
        Some(b'[') => {
            let mut items = Vec::new();
            reader.list(&mut |reader| {
                items.push(value(reader, count)?);
                Ok(())
            })?;
            Value::List(items)
        }
        Some(b'"') => Value::Text(reader.string()?),
        Some(_) => match reader.word()? {
            Word::Null => Value::Null,
            Word::Bool(value) => Value::Bool(value),
            Word::Number(number) => Value::Number(Cow::Borrowed(number)),
        },
        None => return Err(reader.flaw("expected a value")),
    };
    Ok(Node { at: start..reader.at(), value })
}
