//! TOML into a tree.

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};

use super::flaw::Flaw;
use super::tree::{Entry, MAX_DEPTH, Node, Value};

pub(super) fn parse(text: &str) -> Result<Node<'_>, Flaw> {
    let table = DeTable::parse(text).map_err(|error| {
        Flaw::new(error.span().map_or(0, |span| span.start), "", error.message().to_owned())
    })?;
    let at = table.span();
    Ok(Node { at, value: map(table.into_inner(), 0)? })
}

fn map(table: DeTable<'_>, depth: usize) -> Result<Value<'_>, Flaw> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let at = key.span();
        let key = key.into_inner();
        entries.push(Entry { key, at, node: node(value, depth)? });
    }
    entries.sort_by_key(|entry: &Entry<'_>| entry.at.start);
    Ok(Value::Map(entries))
}

fn node(value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node<'_>, Flaw> {
    let at = value.span();
    if depth > MAX_DEPTH {
        return Err(Flaw::new(at.start, "", "is nested too deeply"));
    }
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Array(items) => {
            Value::List(items.into_iter().map(|item| node(item, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => map(table, depth + 1)?,
        DeValue::Datetime(value) => Value::Text(value.to_string().into()),
        DeValue::Integer(value) => Value::Number(value.to_string().into()),
        DeValue::Float(value) => Value::Number(value.to_string().into()),
    };
    Ok(Node { at, value })
}
