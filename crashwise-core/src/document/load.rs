//! From YAML events to a JSON value with places. Works with a stack of its own, so depth cannot overflow ours.

use crate::{Document, Position, Problem};
use saphyr_parser::{Event, Parser, ScalarStyle, Span};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

const MAX_DEPTH: usize = 64;
/// Places take memory of their own, so a list of a million empty strings must not get through.
const MAX_VALUES: usize = 200_000;

type Places = BTreeMap<String, Position>;

enum Frame {
    List { pointer: String, items: Vec<Value> },
    Map { pointer: String, entries: Map<String, Value>, key: Option<String> },
}

pub(super) fn load(text: &str) -> Result<(Value, Places), Problem> {
    if text.len() > Document::MAX_BYTES {
        let message = format!("is larger than {} MiB", Document::MAX_BYTES >> 20);
        return Err(Problem::new("", message));
    }
    let mut places = Places::new();
    let mut stack: Vec<Frame> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let at = position(error.marker().line(), error.marker().col());
            Problem::new("", format!("is not valid YAML: {}", error.info())).with_position(at)
        })?;
        let at = place(&span);
        let refuse = |message: &str| Err(Problem::new("", message).with_position(at));
        if places.len() > MAX_VALUES {
            return refuse("holds more than 200,000 values");
        }
        match event {
            Event::DocumentStart(_) if root.is_some() => return refuse("holds a second document"),
            Event::Alias(_) => return refuse("uses an alias (`*name`), which is not supported"),
            Event::SequenceStart(anchor, _)
            | Event::MappingStart(anchor, _)
            | Event::Scalar(_, _, anchor, _)
                if anchor > 0 =>
            {
                return refuse("uses an anchor (`&name`), which is not supported");
            }
            Event::SequenceStart(..) | Event::MappingStart(..) if stack.len() >= MAX_DEPTH => {
                return refuse("is nested deeper than 64 levels");
            }
            Event::SequenceStart(..) => {
                let pointer = enter(&mut stack, &mut places, at)?;
                stack.push(Frame::List { pointer, items: Vec::new() });
            }
            Event::MappingStart(..) => {
                let pointer = enter(&mut stack, &mut places, at)?;
                stack.push(Frame::Map { pointer, entries: Map::new(), key: None });
            }
            Event::Scalar(text, style, _, tag) => {
                if let Some(Frame::Map { pointer, entries, key: key @ None }) = stack.last_mut() {
                    let name = text.into_owned();
                    if entries.contains_key(&name) {
                        return Err(Problem::new(name, "stands twice in the same map").with_position(at));
                    }
                    places.insert(format!("{pointer}/{}", escape(&name)), at);
                    *key = Some(name);
                } else {
                    let string = tag.is_some_and(|tag| tag.suffix == "str") || style != ScalarStyle::Plain;
                    let value = if string { Value::String(text.into_owned()) } else { plain(&text) };
                    enter(&mut stack, &mut places, at)?;
                    put(&mut stack, &mut root, value);
                }
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Frame::List { items, .. }) => put(&mut stack, &mut root, Value::Array(items)),
                Some(Frame::Map { entries, .. }) => put(&mut stack, &mut root, Value::Object(entries)),
                None => {}
            },
            _ => {}
        }
    }
    Ok((root.unwrap_or(Value::Null), places))
}

/// Notes where the value about to come stands and returns its pointer. A map's value keeps the place of its key.
fn enter(stack: &mut [Frame], places: &mut Places, at: Position) -> Result<String, Problem> {
    match stack.last() {
        None => {
            places.insert(String::new(), at);
            Ok(String::new())
        }
        Some(Frame::List { pointer, items }) => {
            let pointer = format!("{pointer}/{}", items.len());
            places.insert(pointer.clone(), at);
            Ok(pointer)
        }
        Some(Frame::Map { pointer, key: Some(key), .. }) => Ok(format!("{pointer}/{}", escape(key))),
        Some(Frame::Map { key: None, .. }) => {
            Err(Problem::new("", "uses a list or a map as a key").with_position(at))
        }
    }
}

fn put(stack: &mut [Frame], root: &mut Option<Value>, value: Value) {
    match stack.last_mut() {
        None => *root = Some(value),
        Some(Frame::List { items, .. }) => items.push(value),
        Some(Frame::Map { entries, key, .. }) => {
            if let Some(key) = key.take() {
                entries.insert(key, value);
            }
        }
    }
}

/// The YAML 1.2 core schema.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        let unsigned = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = unsigned.parse::<i64>() {
            return number.into();
        }
        if let Ok(number) = unsigned.parse::<u64>() {
            return number.into();
        }
        let radix =
            |prefix, radix| text.strip_prefix(prefix).and_then(|d| u64::from_str_radix(d, radix).ok());
        if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
            return number.into();
        }
        let float = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
        if float && let Some(number) = unsigned.parse().ok().and_then(Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(text.to_owned())
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn place(span: &Span) -> Position {
    position(span.start.line(), span.start.col())
}

/// The parser counts lines from 1 and columns from 0.
fn position(line: usize, column: usize) -> Position {
    Position {
        line: crate::Line::from_zero_based(line.saturating_sub(1)),
        column: crate::Column::from_zero_based(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values() {
        for (text, expect) in [
            ("", json!(null)),
            ("a: 1\nb: [x, \"2\", 3.5, true, ~]", json!({"a": 1, "b": ["x", "2", 3.5, true, null]})),
            ("{\"a\": {\"b\": -7}}", json!({"a": {"b": -7}})),
            (
                "v: 1.0.0\nw: 0x1F\nx: '1'\ny: .x\nz: 1-2",
                json!({"v": "1.0.0", "w": 31, "x": "1", "y": ".x", "z": "1-2"}),
            ),
            ("a: |\n  two\n  lines\n", json!({"a": "two\nlines\n"})),
            ("a: !!str 5", json!({"a": "5"})),
        ] {
            assert_eq!(load(text).map(|(value, _)| value), Ok(expect), "{text:?}");
        }
    }

    #[test]
    fn refusals() {
        let (deep, many) = ("[".repeat(100), "- 1\n".repeat(MAX_VALUES + 2));
        for (text, expect) in [
            ("a: &x 1\nb: *x", "anchor"),
            ("a: 1\na: 2", "stands twice"),
            ("a: 1\n---\nb: 2", "second document"),
            (deep.as_str(), "deeper than 64"),
            (many.as_str(), "more than 200,000 values"),
            ("? [a]\n: 1", "as a key"),
            ("a: [1", "not valid YAML"),
        ] {
            let problem = load(text).unwrap_err();
            assert!(problem.message.contains(expect), "{text:?}: {problem:?}");
            assert!(problem.position.is_some(), "{text:?}");
        }
    }

    #[test]
    fn places_are_one_based() {
        let (_, places) = load("steps:\n  - name: a\n    run: b\n").unwrap();
        assert_eq!(places["/steps/0/run"].to_string(), "3:5");
        assert_eq!(places["/steps"].to_string(), "1:1");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[-\\[\\]{}:,#&*!|>'\"%@`?~0-9a-e\\n \\t\\x00\u{e9}]{0,80}") {
            if let Ok((value, places)) = load(&text) {
                for pointer in places.keys() {
                    proptest::prop_assert!(value.pointer(pointer).is_some(), "{pointer:?} of {value}");
                }
            }
        }

        #[test]
        fn json_is_read_as_json(value in json_value()) {
            let text = serde_json::to_string_pretty(&value).unwrap();
            proptest::prop_assert_eq!(load(&text).map(|(value, _)| value), Ok(value));
        }
    }

    fn json_value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[ -~]{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ -~]{1,8}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }
}
