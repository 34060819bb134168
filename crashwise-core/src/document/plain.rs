//! A quick yes for values that plainly fit a schema. Compiling a schema takes a hundred times as long as most values are
//! worth, so whatever is not plain, and everything that does not fit, is left to the compiled schema and its words.

use serde_json::{Map, Value};

/// References and branches that are followed below each other.
const MAX_DEPTH: usize = 32;

/// Whether a value fits a valid schema; `false` says nothing.
pub(crate) fn fits(schema: &Value, value: &Value) -> bool {
    Plain { root: schema }.fits(schema, value, 0)
}

struct Plain<'a> {
    root: &'a Value,
}

impl Plain<'_> {
    fn fits(&self, schema: &Value, value: &Value, depth: usize) -> bool {
        match schema {
            Value::Bool(all) => *all,
            Value::Object(keywords) if depth < MAX_DEPTH => {
                keywords.iter().all(|(keyword, by)| self.keyword(keywords, keyword, by, value, depth + 1))
            }
            _ => false,
        }
    }

    fn keyword(
        &self,
        all: &Map<String, Value>,
        keyword: &str,
        by: &Value,
        value: &Value,
        depth: usize,
    ) -> bool {
        let any_of = |list: &Value| {
            list.as_array().is_some_and(|list| list.iter().any(|schema| self.fits(schema, value, depth)))
        };
        match keyword {
            "$schema" | "$defs" | "$comment" | "title" | "description" | "default" | "examples"
            | "deprecated" => true,
            "type" => match by {
                Value::Array(types) => types.iter().any(|one| is_of_type(one, value)),
                one => is_of_type(one, value),
            },
            "format" => by.as_str().is_some_and(|format| {
                ["int", "uint", "double", "float"].iter().any(|number| format.starts_with(number))
            }),
            "const" => by == value,
            "enum" => by.as_array().is_some_and(|words| words.contains(value)),
            "minimum" | "maximum" => match (by.as_f64(), value) {
                (Some(limit), Value::Number(number)) => number.as_f64().is_some_and(|number| {
                    // Larger numbers are not exact.
                    let is_exact = number.abs() < 9e15 && limit.abs() < 9e15;
                    is_exact && if keyword == "minimum" { number >= limit } else { number <= limit }
                }),
                (limit, _) => limit.is_some(),
            },
            "minLength" => value.as_str().is_none_or(|text| at_least(by, text.chars().count())),
            "maxLength" => value.as_str().is_none_or(|text| at_most(by, text.chars().count())),
            "minItems" => value.as_array().is_none_or(|items| at_least(by, items.len())),
            "maxItems" => value.as_array().is_none_or(|items| at_most(by, items.len())),
            "items" => {
                value.as_array().is_none_or(|items| items.iter().all(|item| self.fits(by, item, depth)))
            }
            "required" => match (by, value) {
                (Value::Array(names), Value::Object(object)) => {
                    names.iter().all(|name| name.as_str().is_some_and(|name| object.contains_key(name)))
                }
                _ => by.is_array(),
            },
            "properties" => match (by, value) {
                (Value::Object(properties), Value::Object(object)) => object.iter().all(|(name, value)| {
                    properties.get(name).is_none_or(|schema| self.fits(schema, value, depth))
                }),
                _ => by.is_object(),
            },
            "additionalProperties" => match value {
                Value::Object(object) => {
                    let named = all.get("properties").and_then(Value::as_object);
                    let mut others = object
                        .iter()
                        .filter(|(name, _)| !named.is_some_and(|named| named.contains_key(*name)));
                    others.all(|(_, value)| self.fits(by, value, depth))
                }
                _ => true,
            },
            "anyOf" => any_of(by),
            "allOf" => {
                by.as_array().is_some_and(|list| list.iter().all(|schema| self.fits(schema, value, depth)))
            }
            "oneOf" => value.is_string() && are_different_words(by) && any_of(by),
            "$ref" => by
                .as_str()
                .and_then(|reference| self.root.pointer(reference.strip_prefix('#')?))
                .is_some_and(|schema| self.fits(schema, value, depth)),
            _ => false,
        }
    }
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some("null") => value.is_null(),
        _ => false,
    }
}

fn at_least(limit: &Value, length: usize) -> bool {
    limit.as_u64().is_some_and(|limit| length as u64 >= limit)
}

fn at_most(limit: &Value, length: usize) -> bool {
    limit.as_u64().is_some_and(|limit| length as u64 <= limit)
}

/// Whether at most one branch of a choice can fit.
fn are_different_words(branches: &Value) -> bool {
    let Some(branches) = branches.as_array() else { return false };
    let mut words: Vec<&Value> = Vec::new();
    for branch in branches {
        let own: Vec<&Value> = match (branch.get("const"), branch.get("enum").and_then(Value::as_array)) {
            (Some(word), None) => vec![word],
            (None, Some(list)) => list.iter().collect(),
            _ => return false,
        };
        if own.iter().any(|word| words.contains(word)) {
            return false;
        }
        words.extend(own);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Schema;
    use proptest::prelude::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "$defs": {"level": {"oneOf": [{"const": "low"}, {"type": "string", "enum": ["high", "critical"]}]}},
            "required": ["a"],
            "additionalProperties": false,
            "properties": {
                "a": {"type": ["integer", "null"], "minimum": 0, "maximum": 9, "format": "uint8"},
                "b": {"type": "string", "minLength": 2, "maxLength": 3},
                "c": {"type": "array", "items": {"$ref": "#/$defs/level"}, "maxItems": 2},
                "d": {"anyOf": [{"type": "boolean"}, {"allOf": [{"type": "object", "additionalProperties": {"type": "number"}}]}]},
            },
        })
    }

    #[test]
    fn plain_values_fit() {
        for value in [
            json!({"a": 1}),
            json!({"a": null, "b": "\u{fc}\u{fc}\u{fc}", "c": ["low", "critical"], "d": true}),
            json!({"a": 9, "c": [], "d": {"x": 1.5}}),
        ] {
            assert!(fits(&schema(), &value), "{value}");
        }
        // What is not known here is left to the compiled schema.
        assert!(!fits(&json!({"pattern": "a"}), &json!("a")));
        assert!(!fits(&json!({"$ref": "#"}), &json!("a")));
        assert!(!fits(&json!({"oneOf": [{"type": "string"}, {"const": "a"}]}), &json!("a")));
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(Value::from),
            (-2_i64..12).prop_map(Value::from),
            Just(json!(1.0)),
            Just(json!(0.5)),
            prop::sample::select(vec!["", "low", "high", "x", "lowest"]).prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 3, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-e]", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_fits_is_valid(value in values()) {
            if fits(&schema(), &value) {
                prop_assert!(Schema::new(schema()).unwrap().check(&value).is_empty());
            }
        }
    }
}
