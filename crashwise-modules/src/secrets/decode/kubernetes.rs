//! The values of Kubernetes secrets: base64 beside their names, and too short to be told from words without them.

use std::ops::Range;

use super::{Decoding, Layer, is_text};
use crate::secrets::base64;

/// The most values of one manifest.
const MAX_VALUES: usize = 1000;
/// The longest manifest, in bytes.
const MAX_MANIFEST: usize = 1 << 20;

/// Reads the manifests around the places where one of the kind was seen.
pub(super) fn find(bytes: &[u8], places: &[usize], push: &mut impl FnMut(Layer)) {
    let mut behind = 0;
    for &place in places {
        if place < behind {
            continue;
        }
        let from = behind.max(place.saturating_sub(MAX_MANIFEST / 2));
        let start = memchr::memmem::rfind(&bytes[from..place], b"\n---").map_or(from, |at| from + at);
        let to = bytes.len().min(place + MAX_MANIFEST / 2);
        let end = memchr::memmem::find(&bytes[place..to], b"\n---").map_or(to, |at| place + at);
        values(bytes, start..end, push);
        behind = end;
    }
}

/// `name: dmFsdWU=` below `data:`, and the same as JSON. What is below `stringData:` is in the clear.
fn values(bytes: &[u8], manifest: Range<usize>, push: &mut impl FnMut(Layer)) {
    let mut at = manifest.start;
    let mut left = MAX_VALUES;
    let mut depth = None;
    for line in bytes[manifest].split_inclusive(|&byte| byte == b'\n') {
        let start = at;
        at += line.len();
        let text = line.trim_ascii();
        let indent = line.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
        if text.starts_with(b"data:") || text.starts_with(b"\"data\"") {
            depth = Some(indent);
            continue;
        }
        let Some(outer) = depth else { continue };
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        if indent <= outer {
            depth = None;
            continue;
        }
        if left == 0 {
            return;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let clean = |part: &[u8]| {
            let is_edge = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b',');
            let first = part.iter().position(|byte| !is_edge(byte)).unwrap_or(part.len());
            let last = part.iter().rposition(|byte| !is_edge(byte)).map_or(first, |last| last + 1);
            first..last
        };
        let (name, value) = (clean(&line[..colon]), clean(&line[colon + 1..]));
        let value = start + colon + 1 + value.start..start + colon + 1 + value.end;
        let decoded = base64::decode(&bytes[value.clone()]).filter(|text| !text.is_empty() && is_text(text));
        if let Some(decoded) = decoded {
            left -= 1;
            let mut content = line[name].to_vec();
            content.extend_from_slice(b" = \"");
            content.extend_from_slice(decoded.trim_ascii());
            content.extend_from_slice(b"\"\n");
            push(Layer { decoding: Decoding::Manifest, span: value, content });
        }
    }
}
