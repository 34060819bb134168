//! What a workflow or a module is and takes, for people.

use super::params::properties;
use super::terminal::{BOLD, DIM, plain};
use crashwise_core::Metadata;
use serde_json::Value;
use std::io::{self, Write};

/// Writes rows of names and texts, the names in one column.
pub(super) fn rows(out: &mut dyn Write, rows: &[(String, String)], width: Option<usize>) -> io::Result<()> {
    let column = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).min(40);
    for (name, text) in rows {
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(column + 4).max(24));
        let mut lines = wrapped(&plain(text), room).into_iter();
        writeln!(out, "  {name:column$}  {}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "  {:column$}  {line}", "")?;
        }
    }
    Ok(())
}

/// Writes what a workflow says of itself.
pub(super) fn metadata(out: &mut dyn Write, metadata: &Metadata, width: Option<usize>) -> io::Result<()> {
    writeln!(out, "{BOLD}{} {}{BOLD:#}", metadata.name, metadata.version)?;
    for line in wrapped(&plain(&metadata.description), width.unwrap_or(usize::MAX)) {
        writeln!(out, "{line}")?;
    }
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut facts = vec![
        ("category".to_owned(), serde_json::to_value(metadata.category).map(word).unwrap_or_default()),
        ("vertical".to_owned(), metadata.vertical.clone()),
        (
            "isolation".to_owned(),
            serde_json::to_value(metadata.workspace_isolation).map(word).unwrap_or_default(),
        ),
    ];
    let resources = &metadata.requirements.resources;
    let limits: Vec<String> = [
        resources.memory.map(|memory| format!("memory {memory}")),
        resources.cpu.map(|cpu| format!("cpu {cpu}")),
        resources.timeout.map(|time| format!("timeout {time}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    for (name, list) in [
        ("tags", &metadata.tags),
        ("modules", &metadata.required_modules),
        ("tools", &metadata.requirements.tools),
        ("limits", &limits),
    ] {
        if !list.is_empty() {
            facts.push((name.to_owned(), list.join(", ")));
        }
    }
    if !metadata.author.is_empty() {
        facts.insert(0, ("author".to_owned(), metadata.author.clone()));
    }
    writeln!(out)?;
    rows(out, &facts, width)?;
    parameters(out, &metadata.parameters, width)
}

/// Writes the parameters of a schema, those of objects with dots.
pub(super) fn parameters(out: &mut dyn Write, schema: &Value, width: Option<usize>) -> io::Result<()> {
    let mut found = Vec::new();
    collect(schema, schema, "", 0, &mut found);
    if found.is_empty() {
        return writeln!(out, "\nIt has no parameters.");
    }
    writeln!(out, "\n{BOLD}Parameters{BOLD:#}")?;
    for Parameter { key, kind, default, text } in found {
        let default =
            default.map(|value| format!(" = {}", shortened(&value.to_string(), 60))).unwrap_or_default();
        writeln!(out, "  {}{default}  {DIM}{kind}{DIM:#}", plain(&key), default = plain(&default))?;
        for line in wrapped(&plain(&text), width.map_or(usize::MAX, |width| width.saturating_sub(6).max(24)))
        {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(())
}

struct Parameter {
    key: String,
    kind: String,
    default: Option<Value>,
    text: String,
}

fn collect(root: &Value, schema: &Value, prefix: &str, depth: u8, found: &mut Vec<Parameter>) {
    for (name, property) in properties(root, schema) {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        if depth < 4 && !properties(root, property).is_empty() {
            collect(root, property, &key, depth + 1, found);
            continue;
        }
        let text = property.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        let default = property.get("default").filter(|value| !value.is_null()).cloned();
        found.push(Parameter { key, kind: kind(root, property, 0), default, text });
    }
}

/// The type of a value in words.
fn kind(root: &Value, schema: &Value, depth: u8) -> String {
    if depth > 4 {
        return "any".into();
    }
    if let Some(target) =
        schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?))
    {
        return kind(root, target, depth + 1);
    }
    let words = |values: &Vec<Value>| {
        values
            .iter()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join("|")
    };
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return words(values);
    }
    if let Some(value) = schema.get("const") {
        return words(&vec![value.clone()]);
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(key).and_then(Value::as_array) {
            let kinds: Vec<String> = choices
                .iter()
                .filter(|choice| choice.get("type").is_none_or(|kind| kind != "null"))
                .map(|choice| kind(root, choice, depth + 1))
                .collect();
            return kinds.join("|");
        }
    }
    let kinds: Vec<&str> = match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        _ => return "any".into(),
    };
    let mut text = kinds.join("|");
    if kinds == ["array"]
        && let Some(items) = schema.get("items")
    {
        text = format!("list of {}", kind(root, items, depth + 1));
    }
    let bound = |key: &str| schema.get(key).map(Value::to_string);
    match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!("{text} {least} to {most}"),
        (Some(least), None) => format!("{text} from {least}"),
        (None, Some(most)) => format!("{text} to {most}"),
        (None, None) => text,
    }
}

/// Text in lines of at most `room` columns, broken at spaces.
pub(super) fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// Text cut to a number of characters.
pub(super) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
    }
}

/// Writes JSON for programs.
pub(super) fn json(out: &mut dyn Write, value: &impl serde::Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}
