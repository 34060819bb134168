//! First pass: everything but the results.

use super::input::{Bounded, Budget, error};
use super::run::{Head, Parts};
use super::{ReadError, ReadOptions};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;
use std::io::Read;

/// Reads the head of every run.
pub(super) fn read<R: Read>(input: Bounded<R>, options: &ReadOptions) -> Result<Vec<Head>, ReadError> {
    let budget = input.budget();
    let limit = options.max_head_bytes;
    budget.set(limit);
    let fail =
        |problem| error(problem, &budget, ("the description of tools and rules", limit), options.max_bytes);
    let mut parser = serde_json::Deserializer::from_reader(input);
    let log = parser.deserialize_map(LogVisitor { budget: &budget }).map_err(fail)?;
    parser.end().map_err(fail)?;
    match log.version {
        Some(Value::String(version)) if version == "2.1.0" || version.starts_with("2.1.0-") => Ok(log.heads),
        Some(Value::String(version)) => {
            Err(ReadError::Version { version: version.chars().take(40).collect() })
        }
        _ => Err(ReadError::Version { version: "(none)".to_owned() }),
    }
}

struct Log {
    version: Option<Value>,
    heads: Vec<Head>,
}

struct LogVisitor<'b> {
    budget: &'b Budget,
}

impl<'de> Visitor<'de> for LogVisitor<'_> {
    type Value = Log;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a SARIF log, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Log, A::Error> {
        let mut log = Log { version: None, heads: Vec::new() };
        let mut has_runs = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "version" => log.version = Some(map.next_value()?),
                "runs" => {
                    has_runs = true;
                    map.next_value_seed(Heads { budget: self.budget, heads: &mut log.heads })?;
                }
                _ => skip(&mut map, self.budget)?,
            }
        }
        if has_runs { Ok(log) } else { Err(serde::de::Error::missing_field("runs")) }
    }
}

struct Heads<'b> {
    budget: &'b Budget,
    heads: &'b mut Vec<Head>,
}

impl<'de> DeserializeSeed<'de> for Heads<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Heads<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of runs")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(head) = seq.next_element_seed(HeadSeed { budget: self.budget })? {
            self.heads.push(head);
        }
        Ok(())
    }
}

struct HeadSeed<'b> {
    budget: &'b Budget,
}

impl<'de> DeserializeSeed<'de> for HeadSeed<'_> {
    type Value = Head;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Head, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeadSeed<'_> {
    type Value = Head;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a run, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head, A::Error> {
        let mut parts = Parts::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "tool" => parts.tool = Some(map.next_value()?),
                "originalUriBaseIds" => parts.bases = map.next_value()?,
                "artifacts" => parts.artifacts = map.next_value()?,
                "threadFlowLocations" => parts.flow_locations = map.next_value()?,
                "taxonomies" => parts.taxonomies = map.next_value()?,
                "invocations" => parts.invocations = map.next_value()?,
                "properties" => parts.properties = map.next_value()?,
                "externalPropertyFileReferences" => {
                    parts.points_elsewhere = map.next_value::<Option<IgnoredAny>>()?.is_some();
                }
                _ => skip(&mut map, self.budget)?,
            }
        }
        match Head::new(parts) {
            Some(head) => Ok(head),
            None => Err(serde::de::Error::missing_field("tool")),
        }
    }
}

/// Goes past a value that is not kept.
fn skip<'de, A: MapAccess<'de>>(map: &mut A, budget: &Budget) -> Result<(), A::Error> {
    let left = budget.left();
    budget.lift();
    map.next_value::<IgnoredAny>()?;
    budget.set(left);
    Ok(())
}
