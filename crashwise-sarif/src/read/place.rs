//! Places of a log as places in the target.

use super::result::Converter;
use crate::uri::{self, Reference};
use crashwise_core::{ByteSpan, Change, Column, Fix, Line, Location, Position, Region, RelPath};
use serde_sarif::sarif;

impl Converter<'_> {
    /// The file of a reference, or the reference as text when it is not in the target.
    pub(super) fn path(&self, location: &sarif::ArtifactLocation) -> Result<RelPath, String> {
        let indexed = location
            .index
            .and_then(|index| self.head.artifacts.get(usize::try_from(index).ok()?))
            .and_then(|artifact| artifact.location.as_ref());
        let (uri, base) = match (&location.uri, indexed) {
            (Some(uri), _) => (uri, &location.uri_base_id),
            (None, Some(indexed)) => match &indexed.uri {
                Some(uri) => (uri, &indexed.uri_base_id),
                None => return Err(String::new()),
            },
            (None, None) => return Err(String::new()),
        };
        let outside = || Err(uri.chars().take(1000).collect());
        let path = match uri::decode(uri) {
            Reference::Relative(path) => match self.base(base.as_deref()) {
                Some(base) => format!("{base}/{path}"),
                None => return outside(),
            },
            Reference::Absolute(path) => match self.below_root(&path) {
                Some(rest) => rest,
                None => return outside(),
            },
            Reference::Foreign => return outside(),
        };
        uri::normalise(&path).map_or_else(outside, Ok)
    }

    /// The directory of a base, relative to the target; a base that nobody explains is the target.
    fn base(&self, id: Option<&str>) -> Option<String> {
        let mut path = String::new();
        let mut id = id;
        // A chain of bases is short; a loop is not.
        for _ in 0..16 {
            let Some(base) = id.and_then(|id| self.head.bases.get(id)) else { return Some(path) };
            match base.uri.as_deref().map(uri::decode) {
                None => {}
                Some(Reference::Relative(part)) => path = format!("{part}/{path}"),
                Some(Reference::Absolute(part)) => {
                    return match (&self.options.root, self.below_root(&part)) {
                        (_, Some(rest)) => Some(format!("{rest}/{path}")),
                        (None, None) => Some(path),
                        (Some(_), None) => None,
                    };
                }
                Some(Reference::Foreign) => return Some(path),
            }
            id = base.uri_base_id.as_deref();
        }
        None
    }

    fn below_root(&self, path: &str) -> Option<String> {
        let root = self.options.root.as_deref()?.replace('\\', "/");
        let root = root.trim_matches('/');
        let rest = path.trim_start_matches('/').strip_prefix(root)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
    }

    /// A place; one outside the target is told to `outside`.
    pub(super) fn location(&self, location: &sarif::Location, outside: &mut Vec<String>) -> Option<Location> {
        let physical = location.physical_location.as_ref()?;
        let path = match self.path(physical.artifact_location.as_ref()?) {
            Ok(path) => path,
            Err(uri) => {
                if !uri.is_empty() {
                    outside.push(uri);
                }
                return None;
            }
        };
        let mut place = Location::new(path);
        place.region = physical.region.as_ref().and_then(region);
        let text = |region: &sarif::Region| region.snippet.as_ref()?.text.clone();
        place.snippet = match &physical.region {
            Some(region) => text(region),
            None => physical.context_region.as_ref().and_then(text),
        };
        place.message = location.message.as_ref().and_then(|message| message.text.clone());
        Some(place)
    }

    /// A repair, if every one of its places is exact and in the target.
    pub(super) fn fix(&self, fix: &sarif::Fix) -> Option<Fix> {
        let mut changes = Vec::new();
        for artifact in &fix.artifact_changes {
            let path = self.path(&artifact.artifact_location).ok()?;
            for replacement in &artifact.replacements {
                let region = region(&replacement.deleted_region)?;
                let exact = region.end.is_some() || region.bytes.is_some();
                let text = match &replacement.inserted_content {
                    Some(content) => content.text.clone()?,
                    None => String::new(),
                };
                changes.push(Change::new(path.clone(), exact.then_some(region)?, text));
            }
        }
        let description =
            fix.description.as_ref().and_then(|message| message.text.clone()).unwrap_or_default();
        Some(Fix { description, changes })
    }
}

/// A region with a line. Without an end column it ends with its last line, that is where the next line starts.
fn region(region: &sarif::Region) -> Option<Region> {
    let line = |number: Option<i64>| Line::new(u32::try_from(number?).ok()?);
    let column = |number: Option<i64>| Column::new(u32::try_from(number?).ok()?);
    let start_line = line(region.start_line)?;
    let start = Position { line: start_line, column: column(region.start_column).unwrap_or(Column::FIRST) };
    let mut place = Region::at(start);
    place.end = match (line(region.end_line).unwrap_or(start_line), column(region.end_column)) {
        (line, Some(column)) => Some(Position { line, column }),
        (line, None) if line > start_line => {
            Line::new(line.number().saturating_add(1)).map(|line| Position { line, column: Column::FIRST })
        }
        (_, None) => None,
    };
    place.end = place.end.filter(|end| *end >= start);
    place.bytes = bytes(region);
    Some(place)
}

fn bytes(region: &sarif::Region) -> Option<ByteSpan> {
    let start = u64::try_from(region.byte_offset?).ok()?;
    let length = u64::try_from(region.byte_length?).ok()?;
    Some(ByteSpan::new(start, start.checked_add(length)?))
}
