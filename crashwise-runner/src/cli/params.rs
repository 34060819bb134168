//! Parameters on the command line: `key=value`, read as the schema says.

use super::exit::Failure;
use crashwise_core::{Document, nearest};
use serde_json::{Map, Value};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The parameters of a file and of `key=value` arguments, which go over those of the file.
pub(super) fn gather(file: Option<&Path>, assignments: &[String], schema: &Value) -> Result<Value, Failure> {
    let mut params = match file {
        Some(path) => read(path)?,
        None => Value::Object(Map::new()),
    };
    for assignment in assignments {
        assign(&mut params, schema, assignment).map_err(Failure::usage)?;
    }
    Ok(params)
}

fn read(path: &Path) -> Result<Value, Failure> {
    let name = path.display().to_string();
    let failed = |error: std::io::Error| Failure::usage(format!("{name} could not be read: {error}"));
    let limit = Document::MAX_BYTES as u64 + 1;
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text).map_err(failed)?;
    } else {
        File::open(path).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    }
    let document = Document::parse(&name, &text)?;
    match document.value() {
        Value::Object(_) => Ok(document.value().clone()),
        Value::Null => Ok(Value::Object(Map::new())),
        _ => Err(Failure::usage(format!("{name}:1:1: expected a map of parameters"))),
    }
}

/// Takes parameters that are not given from the environment variables that their schemas name in `x-env`.
pub(super) fn from_environment(params: &mut Value, schema: &Value, read: impl Fn(&str) -> Option<String>) {
    for (name, property) in properties(schema, schema) {
        let variable = property.get("x-env").and_then(Value::as_str);
        if let Some(found) = variable.and_then(&read).filter(|text| !text.is_empty())
            && let Some(params) = params.as_object_mut()
        {
            params.entry(name).or_insert_with(|| found.into());
        }
    }
}

/// Sets one parameter. `a.b=1` sets `b` in the object `a`.
fn assign(params: &mut Value, schema: &Value, assignment: &str) -> Result<(), String> {
    let Some((key, text)) = assignment.split_once('=') else {
        return Err(format!("{assignment:?} is not a parameter: expected key=value"));
    };
    let mut place = params;
    let mut here = schema;
    let parts: Vec<&str> = key.split('.').collect();
    for (n, part) in parts.iter().enumerate() {
        let known = properties(schema, here);
        here = match known.iter().find(|(name, _)| name == part) {
            Some((_, next)) => next,
            None if is_open(schema, here, known.is_empty()) => &Value::Bool(true),
            None => {
                let names = known.iter().map(|(name, _)| name.as_str());
                let hint = match nearest(part, names.clone()) {
                    Some(near) => format!(" (did you mean {:?}?)", [&parts[..n], &[near]].concat().join(".")),
                    None => format!(": expected one of {}", list(names)),
                };
                return Err(format!("there is no parameter named {key:?}{hint}"));
            }
        };
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[*part];
    }
    *place = value(schema, here, text).map_err(|problem| format!("{key}: {problem}"))?;
    Ok(())
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.take(30).collect();
    if names.is_empty() { "none, it has no parameters".to_owned() } else { names.join(", ") }
}

/// A text as the value that the schema expects; what it cannot be stays a text, and the schema says what is wrong with it.
fn value(root: &Value, schema: &Value, text: &str) -> Result<Value, String> {
    let kinds = kinds(root, schema, 0);
    let has = |kind: &str| kinds.iter().any(|found| found == kind);
    if kinds.is_empty() {
        return Ok(serde_json::from_str(text).unwrap_or_else(|_| text.into()));
    }
    if has("null") && text == "null" {
        return Ok(Value::Null);
    }
    if has("boolean") {
        match text {
            "true" | "yes" | "on" => return Ok(true.into()),
            "false" | "no" | "off" => return Ok(false.into()),
            _ => {}
        }
    }
    if (has("integer") || has("number"))
        && let Ok(number) = serde_json::from_str::<Value>(text)
        && number.is_number()
    {
        return Ok(number);
    }
    let json = |kind: &str| {
        serde_json::from_str::<Value>(text)
            .map_err(|error| format!("expected {kind} as JSON, found {text:?} ({error})"))
    };
    if has("array") && text.starts_with('[') {
        return json("a list");
    }
    if has("array") && !has("string") {
        let any = Value::Bool(true);
        let items = resolve(root, schema).get("items").unwrap_or(&any);
        let parts = text.split(',').filter(|_| !text.is_empty());
        return parts
            .map(|part| value(root, items, part.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array);
    }
    if has("object") && (text.starts_with('{') || !has("string")) {
        return json("an object");
    }
    Ok(text.into())
}

/// Follows a `$ref`.
fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut schema = schema;
    for _ in 0..16 {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        match target.and_then(|pointer| root.pointer(pointer)) {
            Some(target) => schema = target,
            None => break,
        }
    }
    schema
}

/// The types that a value may have; none when the schema does not say.
fn kinds(root: &Value, schema: &Value, depth: u8) -> Vec<String> {
    let schema = resolve(root, schema);
    let mut kinds: Vec<String> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind.clone()],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    for value in schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const"))
    {
        let kind = match value {
            Value::String(_) => "string",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "number",
            Value::Null => "null",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        kinds.push(kind.to_owned());
    }
    if depth < 8 {
        for key in ["anyOf", "oneOf", "allOf"] {
            for choice in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                kinds.extend(self::kinds(root, choice, depth + 1));
            }
        }
    }
    kinds
}

/// The properties of an object, also those of the choices of `anyOf` and the like.
pub(super) fn properties<'s>(root: &'s Value, schema: &'s Value) -> Vec<(String, &'s Value)> {
    let schema = resolve(root, schema);
    let mut found = Vec::new();
    let own = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    found.extend(own.map(|(name, schema)| (name.clone(), schema)));
    for key in ["anyOf", "oneOf", "allOf"] {
        for choice in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
            let choice = resolve(root, choice);
            let own = choice.get("properties").and_then(Value::as_object).into_iter().flatten();
            found.extend(own.map(|(name, schema)| (name.clone(), schema)));
        }
    }
    found
}

/// Whether an object takes names that its schema does not list.
fn is_open(root: &Value, schema: &Value, lists_none: bool) -> bool {
    let schema = resolve(root, schema);
    match schema.get("additionalProperties") {
        Some(Value::Bool(more)) => *more,
        Some(_) => true,
        // Top level parameters are closed, and so is what lists its names or is no object at all.
        None => {
            let kinds = kinds(root, schema, 0);
            let may_be_object = kinds.is_empty() || kinds.iter().any(|kind| kind == "object");
            lists_none && may_be_object && !std::ptr::eq(root, schema)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "count": {"type": "integer"},
                "share": {"type": "number"},
                "name": {"type": "string"},
                "level": {"enum": ["low", "high"]},
                "limit": {"type": ["string", "integer"]},
                "maybe": {"anyOf": [{"$ref": "#/$defs/Mode"}, {"type": "null"}]},
                "list": {"type": "array", "items": {"type": "string"}},
                "numbers": {"type": "array", "items": {"type": "integer"}},
                "any": {},
                "map": {"type": "object", "additionalProperties": {"type": "integer"}},
                "inner": {"type": "object", "additionalProperties": false, "properties": {"deep": {"type": "boolean"}}},
            },
            "$defs": {"Mode": {"enum": ["fast", "slow"]}},
        })
    }

    #[test]
    fn values_have_the_type_of_the_schema() {
        for (assignment, expect) in [
            ("count=5", json!({"count": 5})),
            ("count=-5", json!({"count": -5})),
            ("count=many", json!({"count": "many"})),
            ("share=0.5", json!({"share": 0.5})),
            ("name=5", json!({"name": "5"})),
            ("name=a=b", json!({"name": "a=b"})),
            ("name=", json!({"name": ""})),
            ("level=high", json!({"level": "high"})),
            ("limit=512Mi", json!({"limit": "512Mi"})),
            ("limit=512", json!({"limit": 512})),
            ("maybe=fast", json!({"maybe": "fast"})),
            ("maybe=null", json!({"maybe": null})),
            ("list=a,b", json!({"list": ["a", "b"]})),
            ("list=", json!({"list": []})),
            ("list=[\"a,b\"]", json!({"list": ["a,b"]})),
            ("numbers=1, -2", json!({"numbers": [1, -2]})),
            ("any={\"a\": 1}", json!({"any": {"a": 1}})),
            ("any=word", json!({"any": "word"})),
            ("map.a=3", json!({"map": {"a": 3}})),
            ("inner.deep=no", json!({"inner": {"deep": false}})),
            ("inner={\"deep\": true}", json!({"inner": {"deep": true}})),
        ] {
            let mut params = json!({});
            assign(&mut params, &schema(), assignment).unwrap();
            assert_eq!(params, expect, "{assignment}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (assignment, expect) in [
            ("count", "\"count\" is not a parameter: expected key=value"),
            ("cuont=5", "there is no parameter named \"cuont\" (did you mean \"count\"?)"),
            ("inner.deap=true", "there is no parameter named \"inner.deap\" (did you mean \"inner.deep\"?)"),
            ("zzz=1", "there is no parameter named \"zzz\": expected one of any, count, inner"),
            ("inner=x", "inner: expected an object as JSON, found \"x\""),
            ("list=[1", "list: expected a list as JSON"),
            ("count.x=1", "there is no parameter named \"count.x\""),
        ] {
            let problem = assign(&mut json!({}), &schema(), assignment).expect_err(assignment);
            assert!(problem.starts_with(expect), "{assignment}: {problem}");
        }
    }
}
