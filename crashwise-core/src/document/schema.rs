//! JSON Schema: from Rust types, and checked with messages that name the key and what was expected.

use super::key_of;
use crate::Problem;
use crate::problem::did_you_mean;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde_json::Value;

/// The JSON Schema (2020-12) of a type.
pub fn schema_of<T: JsonSchema>() -> Value {
    schemars::schema_for!(T).to_value()
}

/// A compiled JSON Schema.
#[derive(Debug)]
pub struct Schema {
    schema: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles a schema; an invalid one names the key at fault.
    pub fn new(schema: Value) -> Result<Self, Problem> {
        match jsonschema::options().build(&schema) {
            Ok(validator) => Ok(Self { schema, validator }),
            Err(error) => {
                let key = key_of(error.instance_path().as_str());
                Err(Problem::new(key, format!("is not a valid JSON Schema: {error}")))
            }
        }
    }

    /// Every violation: the JSON pointer it is about, and the problem.
    pub fn check(&self, value: &Value) -> Vec<(String, Problem)> {
        self.validator.iter_errors(value).flat_map(|error| self.explain(&error)).collect()
    }

    fn explain(&self, error: &ValidationError<'_>) -> Vec<(String, Problem)> {
        let pointer = error.instance_path().as_str().to_owned();
        let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
        let at = |pointer: String, message: String| {
            let problem = Problem::new(key_of(&pointer), message);
            (pointer, problem)
        };
        let found = shorten(error.instance());
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                let known = self.known_keys(error.schema_path().as_str());
                let unknown = |name: &String| {
                    let hint = did_you_mean(name, known.iter().map(String::as_str));
                    at(below(name), format!("unknown key{hint}"))
                };
                unexpected.iter().map(unknown).collect()
            }
            Kind::Required { property } => {
                vec![at(below(property.as_str().unwrap_or_default()), "is required".into())]
            }
            Kind::Type { kind } => {
                let expected = match kind {
                    TypeKind::Single(one) => one.to_string(),
                    TypeKind::Multiple(set) => {
                        set.iter().map(|one| one.to_string()).collect::<Vec<_>>().join(" or ")
                    }
                };
                vec![at(pointer, format!("expected {expected}, found {found}"))]
            }
            Kind::Enum { options } => {
                let words: Vec<String> = options.as_array().into_iter().flatten().map(shorten).collect();
                let near = error.instance().as_str().map_or(String::new(), |word| {
                    did_you_mean(word, options.as_array().into_iter().flatten().filter_map(Value::as_str))
                });
                vec![at(pointer, format!("expected one of {}, found {found}{near}", words.join(", ")))]
            }
            Kind::Minimum { limit } => vec![at(pointer, format!("expected at least {limit}, found {found}"))],
            Kind::Maximum { limit } => vec![at(pointer, format!("expected at most {limit}, found {found}"))],
            Kind::ExclusiveMinimum { limit } => {
                vec![at(pointer, format!("expected more than {limit}, found {found}"))]
            }
            Kind::ExclusiveMaximum { limit } => {
                vec![at(pointer, format!("expected less than {limit}, found {found}"))]
            }
            Kind::Pattern { pattern } => {
                let expected = self.description_beside(error.schema_path().as_str());
                let expected = expected.unwrap_or_else(|| format!("text that matches {pattern}"));
                vec![at(pointer, format!("expected {expected}, found {found}"))]
            }
            Kind::Constant { expected_value } => {
                vec![at(pointer, format!("expected {}, found {found}", shorten(expected_value)))]
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => self.explain_choice(error, context),
            _ => vec![at(pointer, error.to_string())],
        }
    }

    /// A choice none of whose branches fits: either all of them are words, or the branch that fits best speaks.
    fn explain_choice(
        &self,
        error: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
    ) -> Vec<(String, Problem)> {
        let mut words: Vec<Value> = Vec::new();
        for branch in branches {
            match branch.first().map(ValidationError::kind) {
                Some(Kind::Constant { expected_value }) => words.push(Value::clone(expected_value)),
                Some(Kind::Enum { options }) => {
                    words.extend(options.as_array().into_iter().flatten().cloned());
                }
                _ => {}
            }
        }
        let is_null = |branch: &&Vec<ValidationError<'_>>| {
            matches!(branch.first().map(ValidationError::kind),
                Some(Kind::Type { kind: TypeKind::Single(kind) }) if kind.to_string() == "null")
        };
        let pointer = error.instance_path().as_str().to_owned();
        if !words.is_empty() && error.instance().is_string() {
            let near = error
                .instance()
                .as_str()
                .map_or(String::new(), |word| did_you_mean(word, words.iter().filter_map(Value::as_str)));
            let list = words.iter().map(shorten).collect::<Vec<_>>().join(", ");
            let message = format!("expected one of {list}, found {}{near}", shorten(error.instance()));
            return vec![(pointer.clone(), Problem::new(key_of(&pointer), message))];
        }
        let best = branches.iter().filter(|branch| !is_null(branch)).max_by_key(|branch| {
            let depth = branch.iter().map(|error| error.instance_path().as_str().len()).max();
            (depth, std::cmp::Reverse(branch.len()))
        });
        match best {
            Some(branch) => branch.iter().flat_map(|error| self.explain(error)).collect(),
            None => vec![(pointer.clone(), Problem::new(key_of(&pointer), error.to_string()))],
        }
    }

    /// The keys that the schema object at fault knows.
    fn known_keys(&self, schema_path: &str) -> Vec<String> {
        let object = schema_path.rsplit_once('/').map_or("", |(object, _)| object);
        let keys =
            self.resolve(object).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
    }

    fn description_beside(&self, schema_path: &str) -> Option<String> {
        let object = schema_path.rsplit_once('/')?.0;
        self.resolve(object)?.get("description")?.as_str().map(str::to_owned)
    }

    /// Follows a schema path, through `$ref`s into `$defs`.
    fn resolve(&self, schema_path: &str) -> Option<&Value> {
        let mut at = &self.schema;
        for part in schema_path.split('/').skip(1) {
            if part == "$ref" {
                let name = at.get("$ref")?.as_str()?.strip_prefix("#")?;
                at = self.schema.pointer(name)?;
            } else {
                at = at.pointer(&format!("/{part}"))?;
            }
        }
        Some(at)
    }
}

/// Fills in the `default` of each missing property, also in nested objects that are there or have a default.
pub(crate) fn apply_defaults(schema: &Value, value: &mut Value) {
    defaults(schema, schema, value, 0);
}

fn defaults(root: &Value, schema: &Value, value: &mut Value, depth: u32) {
    if depth > 32 {
        return;
    }
    let reference = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    if let Some(target) = reference.and_then(|name| root.pointer(name)) {
        defaults(root, target, value, depth + 1);
    }
    let Some(object) = value.as_object_mut() else { return };
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        if let Some(default) = property.get("default")
            && !object.contains_key(name)
        {
            object.insert(name.clone(), default.clone());
        }
        if let Some(inner) = object.get_mut(name) {
            defaults(root, property, inner, depth + 1);
        }
    }
}

fn shorten(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= 60 { text } else { text.chars().take(59).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn messages() {
        let schema = Schema::new(json!({
            "type": "object", "additionalProperties": false, "required": ["name"],
            "properties": {
                "name": {"type": "string"},
                "level": {"enum": ["low", "medium"]},
                "count": {"type": "integer", "minimum": 1, "maximum": 9},
                "inner": {"type": "object", "additionalProperties": false, "properties": {"deep": {"type": "boolean"}}},
            }
        }))
        .unwrap();
        let check = |value: Value| {
            schema
                .check(&value)
                .into_iter()
                .map(|(_, p)| format!("{}: {}", p.key, p.message))
                .collect::<Vec<_>>()
        };
        assert_eq!(check(json!({"name": "x"})), Vec::<String>::new());
        assert_eq!(check(json!({})), ["name: is required"]);
        assert_eq!(
            check(json!({"name": "x", "level": "lwo"})),
            ["level: expected one of \"low\", \"medium\", found \"lwo\" (did you mean \"low\"?)"]
        );
        assert_eq!(check(json!({"name": "x", "count": 10})), ["count: expected at most 9, found 10"]);
        assert_eq!(check(json!({"name": 5})), ["name: expected string, found 5"]);
        assert_eq!(
            check(json!({"name": "x", "inner": {"deeep": true}})),
            ["inner.deeep: unknown key (did you mean \"deep\"?)"]
        );
    }

    #[test]
    fn fills_defaults() {
        let schema = json!({"properties": {
            "a": {"default": 3},
            "b": {"default": {}, "properties": {"c": {"default": true}}},
            "d": {"properties": {"e": {"default": 1}}},
        }});
        let mut value = json!({"a": 1});
        apply_defaults(&schema, &mut value);
        assert_eq!(value, json!({"a": 1, "b": {"c": true}}));
    }
}
