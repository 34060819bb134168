//! Values in which `${{ … }}` holds an expression.

use super::expression::{Expression, ExpressionError};
use serde_json::Value;
use std::collections::BTreeMap;

/// A JSON value with expressions in its texts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Template {
    /// A value without expressions.
    Fixed(Value),
    /// A text that is one expression; its value keeps its type.
    Whole(Expression),
    /// A text around expressions.
    Text(Vec<Part>),
    List(Vec<Template>),
    Map(BTreeMap<String, Template>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    Text(String),
    Expression(Expression),
}

impl Template {
    /// Parses a value; each problem comes with the JSON pointer below `pointer` that it is about.
    pub(super) fn parse(value: &Value, pointer: &str, problems: &mut Vec<(String, String)>) -> Self {
        match value {
            Value::String(text) => parse_text(text).unwrap_or_else(|problem| {
                problems.push((pointer.to_owned(), problem));
                Self::Fixed(Value::Null)
            }),
            Value::Array(items) => {
                let each = |(n, item)| Self::parse(item, &format!("{pointer}/{n}"), problems);
                Self::List(items.iter().enumerate().map(each).collect()).simplified()
            }
            Value::Object(entries) => {
                let mut map = BTreeMap::new();
                for (name, value) in entries {
                    let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
                    map.insert(name.clone(), Self::parse(value, &below, problems));
                }
                Self::Map(map).simplified()
            }
            fixed => Self::Fixed(fixed.clone()),
        }
    }

    fn simplified(self) -> Self {
        let fixed = |template: &Self| match template {
            Self::Fixed(value) => Some(value.clone()),
            _ => None,
        };
        match &self {
            Self::List(items) => match items.iter().map(fixed).collect::<Option<Vec<_>>>() {
                Some(items) => Self::Fixed(Value::Array(items)),
                None => self,
            },
            Self::Map(entries) => {
                let all: Option<serde_json::Map<String, Value>> =
                    entries.iter().map(|(name, value)| Some((name.clone(), fixed(value)?))).collect();
                match all {
                    Some(all) => Self::Fixed(Value::Object(all)),
                    None => self,
                }
            }
            _ => self,
        }
    }

    /// The value, when it holds no expressions.
    pub(super) fn fixed(&self) -> Option<&Value> {
        match self {
            Self::Fixed(value) => Some(value),
            _ => None,
        }
    }

    /// Calls `visit` with each expression.
    pub(super) fn each<'t>(&'t self, visit: &mut impl FnMut(&'t Expression)) {
        match self {
            Self::Fixed(_) => {}
            Self::Whole(expression) => visit(expression),
            Self::Text(parts) => {
                for part in parts {
                    if let Part::Expression(expression) = part {
                        visit(expression);
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.each(visit)),
            Self::Map(entries) => entries.values().for_each(|entry| entry.each(visit)),
        }
    }

    /// Whether its value may differ between evaluations.
    pub(super) fn order_varies(&self) -> bool {
        let mut varies = false;
        self.each(&mut |expression| varies |= expression.order_varies());
        varies
    }

    /// The value with its expressions evaluated.
    pub(super) fn evaluate(&self, names: &BTreeMap<String, Value>) -> Result<Value, ExpressionError> {
        Ok(match self {
            Self::Fixed(value) => value.clone(),
            Self::Whole(expression) => expression.evaluate(names)?,
            Self::Text(parts) => {
                let mut text = String::new();
                for part in parts {
                    match part {
                        Part::Text(fixed) => text.push_str(fixed),
                        Part::Expression(expression) => match expression.evaluate(names)? {
                            Value::String(value) => text.push_str(&value),
                            other => text.push_str(&other.to_string()),
                        },
                    }
                }
                Value::String(text)
            }
            Self::List(items) => {
                Value::Array(items.iter().map(|item| item.evaluate(names)).collect::<Result<_, _>>()?)
            }
            Self::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (name, entry) in entries {
                    map.insert(name.clone(), entry.evaluate(names)?);
                }
                Value::Object(map)
            }
        })
    }
}

/// Splits a text at its `${{ … }}`; `$${{` is a plain `${{`.
fn parse_text(text: &str) -> Result<Template, String> {
    let mut parts: Vec<Part> = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${{") {
        if rest[..at].ends_with('$') {
            plain.push_str(&rest[..at - 1]);
            plain.push_str("${{");
            rest = &rest[at + 3..];
            continue;
        }
        plain.push_str(&rest[..at]);
        let inside = &rest[at + 3..];
        let end = end_of(inside).ok_or("has a `${{` without its `}}`")?;
        if !plain.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut plain)));
        }
        parts.push(Part::Expression(Expression::parse(&inside[..end]).map_err(|error| error.to_string())?));
        rest = &inside[end + 2..];
    }
    plain.push_str(rest);
    if parts.is_empty() {
        return Ok(Template::Fixed(Value::String(plain)));
    }
    if parts.len() == 1
        && plain.is_empty()
        && let [Part::Expression(expression)] = parts.as_slice()
    {
        return Ok(Template::Whole(expression.clone()));
    }
    if !plain.is_empty() {
        parts.push(Part::Text(plain));
    }
    Ok(Template::Text(parts))
}

/// Where the `}}` that ends an expression stands: outside of quotes and of the braces of maps.
fn end_of(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut quote = None;
    let mut at = 0;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (Some(_), b'\\') => at += 1,
            (Some(open), close) if open == close => quote = None,
            (None, open @ (b'"' | b'\'')) => quote = Some(open),
            (None, b'{') => depth += 1,
            (None, b'}') if depth > 0 => depth -= 1,
            (None, b'}') if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
