//! YAML and JSON documents that remember where each value stands, checked against a schema as a whole.
//!
//! [`Document::parse`] turns a text into a [`serde_json::Value`] and a map of places. [`Document::decode`] checks it against
//! the JSON Schema of a Rust type and reports every violation at once, with line, column, key and what was expected.

mod load;
mod plain;
mod schema;

pub(crate) use plain::fits;
pub(crate) use schema::apply_defaults;
pub use schema::{Schema, schema_of};

use crate::{Position, Problem, Problems};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;

/// A parsed document with the place of each of its values.
///
/// ```
/// use crashwise_core::Document;
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// #[allow(dead_code, reason = "only decoded")]
/// struct Limits { depth: u8 }
///
/// let document = Document::parse("limits.yaml", "depht: 3\n").unwrap();
/// let problems = document.decode::<Limits>().err().unwrap().to_string();
/// assert!(problems.contains("limits.yaml:1:1: depht: unknown key (did you mean \"depth\"?)"), "{problems}");
/// assert!(problems.contains("limits.yaml:1:1: depth: is required"), "{problems}");
/// ```
#[derive(Debug, Clone)]
pub struct Document {
    name: String,
    value: Value,
    places: BTreeMap<String, Position>,
}

impl Document {
    /// The most bytes that a document may have.
    pub const MAX_BYTES: usize = 8 << 20;

    /// Parses YAML 1.2, of which JSON is a part. `name` is what messages call the text. Anchors, several documents in
    /// one text, duplicate keys, more than 64 levels, 200,000 values or [`Self::MAX_BYTES`] are refused.
    pub fn parse(name: impl Into<String>, text: &str) -> Result<Self, Problems> {
        let name = name.into();
        match load::load(text) {
            Ok((value, places)) => Ok(Self { name, value, places }),
            Err(problem) => Err(Problems::one(name, problem)),
        }
    }

    /// What messages call the text.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The content.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Where the value at a JSON pointer (`/steps/2/name`) stands; for a missing one, where its parent does.
    pub fn position(&self, pointer: &str) -> Option<Position> {
        let mut pointer = pointer;
        loop {
            if let Some(position) = self.places.get(pointer) {
                return Some(*position);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }

    /// Checks the document against the schema of `T` and decodes it; all problems at once.
    pub fn decode<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Problems> {
        let schema = Schema::new(schema_of::<T>()).map_err(|problem| Problems::one(&self.name, problem))?;
        let violations = schema.check(&self.value);
        if !violations.is_empty() {
            return Err(self.problems(violations));
        }
        T::deserialize(&self.value)
            .map_err(|error| Problems::one(&self.name, Problem::new("", error.to_string())))
    }

    /// Gives problems, each with the JSON pointer it is about, their places in this document.
    pub fn problems(&self, found: Vec<(String, Problem)>) -> Problems {
        let placed = found
            .into_iter()
            .map(|(pointer, problem)| match self.position(&pointer) {
                Some(position) => problem.with_position(position),
                None => problem,
            })
            .collect();
        Problems::new(&self.name, placed)
    }
}

/// `/steps/2/name` as people write it: `steps[2].name`.
pub(crate) fn key_of(pointer: &str) -> String {
    let mut key = String::new();
    for part in pointer.split('/').skip(1) {
        if !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) {
            key.push('[');
            key.push_str(part);
            key.push(']');
        } else {
            if !key.is_empty() {
                key.push('.');
            }
            key.push_str(&part.replace("~1", "/").replace("~0", "~"));
        }
    }
    key
}
