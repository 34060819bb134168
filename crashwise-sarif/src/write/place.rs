//! Places, and replacements at places.

use super::{ROOT, STORE};
use crate::uri;
use crashwise_core::{ArtifactRef, Change, Fix, Location, Region, RelPath};
use serde_json::Value;
use serde_sarif::sarif;
use std::collections::HashMap;

pub(super) fn message(text: impl Into<String>) -> sarif::Message {
    sarif::Message { text: Some(text.into()), ..sarif::Message::default() }
}

pub(super) fn location(place: &Location) -> sarif::Location {
    let region = place.region.map(region);
    let snippet = place.snippet.as_ref().map(|text| content(text));
    let (region, context) = match (region, snippet) {
        (Some(region), snippet) => (Some(sarif::Region { snippet, ..region }), None),
        // A region needs a start; the text of a whole file goes with a context of its first line.
        (None, Some(snippet)) => (
            None,
            Some(sarif::Region { start_line: Some(1), snippet: Some(snippet), ..sarif::Region::default() }),
        ),
        (None, None) => (None, None),
    };
    sarif::Location {
        physical_location: Some(sarif::PhysicalLocation {
            artifact_location: Some(artifact(&place.path)),
            region,
            context_region: context,
            ..sarif::PhysicalLocation::default()
        }),
        message: place.message.as_ref().map(message),
        ..sarif::Location::default()
    }
}

pub(super) fn artifact(path: &RelPath) -> sarif::ArtifactLocation {
    sarif::ArtifactLocation {
        uri: Some(uri::encode(path.as_str())),
        uri_base_id: Some(ROOT.to_owned()),
        ..sarif::ArtifactLocation::default()
    }
}

pub(super) fn region(region: Region) -> sarif::Region {
    let bytes = region.bytes.filter(|bytes| bytes.start <= bytes.end);
    let offset = bytes.and_then(|bytes| i64::try_from(bytes.start).ok());
    sarif::Region {
        start_line: Some(region.start.line.number().into()),
        start_column: Some(region.start.column.number().into()),
        end_line: region.end.map(|end| end.line.number().into()),
        end_column: region.end.map(|end| end.column.number().into()),
        byte_offset: offset,
        byte_length: offset.and(bytes).and_then(|bytes| i64::try_from(bytes.end - bytes.start).ok()),
        ..sarif::Region::default()
    }
}

fn content(text: &str) -> sarif::ArtifactContent {
    sarif::ArtifactContent { text: Some(text.to_owned()), ..sarif::ArtifactContent::default() }
}

/// A repair, unless one of its places is not exact: without an end, SARIF would delete to the end of the line.
pub(super) fn fix(fix: &Fix) -> Option<sarif::Fix> {
    let mut changes: Vec<(&RelPath, Vec<sarif::Replacement>)> = Vec::new();
    let mut places: HashMap<&RelPath, usize> = HashMap::new();
    for change in &fix.changes {
        let place = *places.entry(&change.path).or_insert(changes.len());
        if place == changes.len() {
            changes.push((&change.path, Vec::new()));
        }
        changes[place].1.push(replacement(change)?);
    }
    if changes.is_empty() {
        return None;
    }
    let changes = changes.into_iter().map(|(path, replacements)| sarif::ArtifactChange {
        artifact_location: artifact(path),
        replacements,
        properties: None,
    });
    Some(sarif::Fix {
        artifact_changes: changes.collect(),
        description: (!fix.description.is_empty()).then(|| message(&fix.description)),
        properties: None,
    })
}

fn replacement(change: &Change) -> Option<sarif::Replacement> {
    let exact = region(change.region);
    let deleted_region = match (change.region.end, change.region.bytes) {
        (Some(_), _) => exact,
        (None, Some(_)) => sarif::Region {
            byte_offset: exact.byte_offset,
            byte_length: exact.byte_length,
            ..sarif::Region::default()
        },
        (None, None) => return None,
    };
    let inserted_content = (!change.replacement.is_empty()).then(|| content(&change.replacement));
    Some(sarif::Replacement { deleted_region, inserted_content, properties: None })
}

pub(super) fn attachment(artifact: &ArtifactRef) -> sarif::Attachment {
    let uri = format!("{}/{}", uri::encode_segment(&artifact.digest), uri::encode_segment(&artifact.name));
    let mut properties = sarif::PropertyBag::default();
    properties.additional_properties.insert("blake3".to_owned(), Value::from(artifact.digest.as_str()));
    properties.additional_properties.insert("name".to_owned(), Value::from(artifact.name.as_str()));
    properties.additional_properties.insert("size".to_owned(), Value::from(artifact.size));
    sarif::Attachment {
        artifact_location: sarif::ArtifactLocation {
            uri: Some(uri),
            uri_base_id: Some(STORE.to_owned()),
            ..sarif::ArtifactLocation::default()
        },
        description: Some(message(&artifact.name)),
        properties: Some(properties),
        rectangles: None,
        regions: None,
    }
}
