//! Lines and columns of many matches in one pass, however long the lines are.

use std::ops::Range;

use crashwise_core::{ByteSpan, Column, Line, Position, Region};

use super::scanner::SecretMatch;
use crate::walk::Window;

/// How much of a line is looked at on each side of a match, in bytes.
const REACH: usize = 4096;

/// The positions of the matches of one text.
#[derive(Debug)]
pub(super) struct Places(Vec<(usize, Position)>);

impl Places {
    /// Finds the positions of starts and ends; `window` says where in its file the text begins.
    pub(super) fn new(bytes: &[u8], all: &[SecretMatch], window: Option<&Window>) -> Self {
        let mut offsets: Vec<usize> =
            all.iter().flat_map(|one| [one.span.start, one.span.end]).map(|at| at.min(bytes.len())).collect();
        offsets.sort_unstable();
        offsets.dedup();
        let (mut line, mut column) = window.map_or((0, 0), |window| (window.line, window.column));
        let mut behind = 0;
        let mut places = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let stretch = &bytes[behind..offset];
            if let Some(last) = memchr::memrchr(b'\n', stretch) {
                line += memchr::memchr_iter(b'\n', stretch).count();
                column = code_points(&stretch[last + 1..]);
            } else {
                column += code_points(stretch);
            }
            behind = offset;
            let position =
                Position { line: Line::from_zero_based(line), column: Column::from_zero_based(column) };
            places.push((offset, position));
        }
        Self(places)
    }

    /// The region of a match that was given to [`Places::new`].
    pub(super) fn region(&self, span: &Range<usize>) -> Region {
        let position = |offset: usize| {
            let at = self.0.partition_point(|(known, _)| *known < offset).min(self.0.len().saturating_sub(1));
            self.0.get(at).map_or(Position::START, |(_, position)| *position)
        };
        Region {
            start: position(span.start),
            end: Some(position(span.end)),
            bytes: Some(ByteSpan::new(span.start as u64, span.end as u64)),
        }
    }
}

/// The line of a match as far as it is near.
pub(super) fn line<'b>(bytes: &'b [u8], span: &Range<usize>) -> &'b [u8] {
    let (start, end) = bounds(bytes, span, REACH);
    bytes[start..end].strip_suffix(b"\r").unwrap_or(&bytes[start..end])
}

/// Start and end of the line in which the match starts, at most `reach` bytes before it and behind it.
pub(super) fn bounds(bytes: &[u8], span: &Range<usize>, reach: usize) -> (usize, usize) {
    let from = span.start.saturating_sub(reach);
    let start = memchr::memrchr(b'\n', &bytes[from..span.start]).map_or(from, |at| from + at + 1);
    let to = bytes.len().min(span.end.saturating_add(reach));
    let end = memchr::memchr(b'\n', &bytes[span.start..to]).map_or(to, |at| span.start + at);
    (start, end)
}

/// Counts code points; a byte that starts none counts unless it looks like a continuation.
pub(super) fn code_points(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}
