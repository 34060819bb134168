//! Bytes of a file as lines and columns.

use std::cell::{Cell, OnceCell};
use std::ops::Range;

use crashwise_core::{ByteSpan, Column, Gap, Line, LineIndex, Location, Position, Region, RelPath};

use super::flaw::Flaw;

/// How often lines are counted from the start before they are looked up.
const MAX_RETURNS: u32 = 16;

/// Most bytes that are passed from the start of a line on before lines and columns are looked up.
const MAX_PASSED: usize = 64 << 10;

/// Turns the bytes of one file into places. They are asked for in rising order mostly, so that lines are counted from
/// the last one on; where they are not, or where lines are long, an index of the lines is made.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) path: &'a RelPath,
    text: &'a str,
    /// The first byte of a line, and how many lines come before it.
    last: Cell<(usize, usize)>,
    returns: Cell<u32>,
    index: OnceCell<LineIndex>,
}

impl<'a> Places<'a> {
    pub(super) fn new(path: &'a RelPath, text: &'a str) -> Self {
        Self { path, text, last: Cell::default(), returns: Cell::default(), index: OnceCell::new() }
    }

    pub(super) fn location(&self, at: &Range<usize>) -> Location {
        let end = at.end.min(self.text.len());
        let start = at.start.min(end);
        let first = self.position(start);
        let bytes = &self.text.as_bytes()[start..end];
        // Nearly every place is a word of ASCII on one line.
        let is_word = bytes.iter().all(|byte| byte.is_ascii() && *byte != b'\n');
        let length = u32::try_from(bytes.len()).ok().filter(|_| is_word);
        let last = length.and_then(|length| Column::new(first.column.number().checked_add(length)?));
        let last = last.map_or_else(|| self.position(end), |column| Position { line: first.line, column });
        let region =
            Region { start: first, end: Some(last), bytes: Some(ByteSpan::new(start as u64, end as u64)) };
        Location::new(self.path.clone()).with_region(region)
    }

    pub(super) fn gap(&self, flaw: &Flaw) -> Gap {
        let position = self.position(flaw.at);
        let detail = match flaw.key.as_str() {
            "" => flaw.message.clone(),
            key => format!("{key}: {}", flaw.message),
        };
        Gap::new(format!("{}:{position}", self.path), flaw.reason, detail)
    }

    fn position(&self, offset: usize) -> Position {
        let bytes = self.text.as_bytes();
        let offset = offset.min(bytes.len());
        if let Some(index) = self.index.get() {
            return index.position(bytes, offset);
        }
        let (mut start, mut line) = self.last.get();
        if offset < start {
            (start, line) = (0, 0);
            self.returns.set(self.returns.get().saturating_add(1));
        }
        if self.returns.get() > MAX_RETURNS || offset - start > MAX_PASSED {
            return self.index.get_or_init(|| LineIndex::new(bytes)).position(bytes, offset);
        }
        let passed = &bytes[start..offset];
        if let Some(end) = memchr::memrchr(b'\n', passed) {
            line += memchr::memchr_iter(b'\n', passed).count();
            start += end + 1;
        }
        self.last.set((start, line));
        // A byte that starts no code point is a continuation of one.
        let column = bytes[start..offset].iter().filter(|byte| (**byte & 0xC0) != 0x80).count();
        Position { line: Line::from_zero_based(line), column: Column::from_zero_based(column) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_places_are_positions() {
        let text = "ab\r\n\u{fc}x\n\n\n  \u{1f600}!\nlast";
        let path = RelPath::new("a").unwrap();
        let places = Places::new(&path, text);
        for start in 0..text.len() {
            for end in start..=text.len() {
                let region = places.location(&(start..end)).region.unwrap();
                assert_eq!((region.start, region.end), (places.position(start), Some(places.position(end))));
            }
        }
    }

    #[test]
    fn places_are_those_of_the_line_index() {
        let short = "ab\r\n\u{fc}x\n\n\n  \u{1f600}!\nlast";
        let long = format!("{short}{}{short}", "\u{fc}x".repeat(MAX_PASSED / 3));
        let path = RelPath::new("a").unwrap();
        for (text, from) in [(short, 0), (&long, 0), (&long, MAX_PASSED)] {
            let places = Places::new(&path, text);
            let index = LineIndex::new(text.as_bytes());
            let forth = (from..text.len() + 3).step_by(1 + text.len() / 1000);
            for offset in forth.clone().chain(forth.rev()) {
                assert_eq!(places.position(offset), index.position(text.as_bytes(), offset), "{offset}");
            }
        }
    }
}
