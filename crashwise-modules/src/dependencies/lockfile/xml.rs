//! XML, without document types, with a bounded number of nodes.

use roxmltree::{Document, Node, ParsingOptions};

use super::flaw::Flaw;
use super::tree::MAX_DEPTH;

pub(super) fn parse(text: &str) -> Result<Document<'_>, Flaw> {
    // The parser follows nesting with its own calls, so depth is bounded before it starts.
    if let Some(at) = too_deep(text) {
        return Err(Flaw::new(at, "", "is nested too deeply"));
    }
    let options = ParsingOptions { nodes_limit: 4_000_000, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| {
        let position = error.pos();
        let line = text.split_inclusive('\n').take(position.row.saturating_sub(1) as usize);
        let start: usize = line.map(str::len).sum();
        let column = position.col.saturating_sub(1) as usize;
        let at = text[start..].char_indices().nth(column).map_or(text.len(), |(at, _)| start + at);
        Flaw::new(at, "", error.to_string())
    })
}

/// Where more elements are open than are read, counted without regard to what they are.
fn too_deep(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix("!--") {
            rest = after.find("-->").map_or("", |end| &after[end..]);
        } else if let Some(after) = rest.strip_prefix("![CDATA[") {
            rest = after.find("]]>").map_or("", |end| &after[end..]);
        } else if rest.starts_with('/') {
            depth = depth.saturating_sub(1);
        } else if !rest.starts_with(['?', '!']) {
            let end = rest.find('>').unwrap_or(rest.len());
            if !rest[..end].ends_with('/') {
                depth += 1;
            }
            if depth > MAX_DEPTH {
                return Some(text.len() - rest.len());
            }
        }
    }
    None
}

/// The child elements of a name.
pub(super) fn children<'a, 'd>(node: Node<'a, 'd>, name: &'static str) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == name)
}

/// The trimmed text of the first child element of a name.
pub(super) fn text_of<'a>(node: Node<'a, '_>, name: &'static str) -> Option<&'a str> {
    children(node, name).next()?.text().map(str::trim).filter(|text| !text.is_empty())
}
