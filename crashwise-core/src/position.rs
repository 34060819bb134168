//! Places in a text: one-based lines and columns, byte spans, and the index that converts between them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU32;

macro_rules! one_based {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(NonZeroU32);

        impl $name {
            /// The first one.
            pub const FIRST: Self = Self(NonZeroU32::MIN);

            /// From a one-based number; `None` for zero.
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// From a zero-based number; the last one when it does not fit.
            pub fn from_zero_based(index: usize) -> Self {
                let number = u32::try_from(index).unwrap_or(u32::MAX).saturating_add(1);
                NonZeroU32::new(number).map_or(Self::FIRST, Self)
            }

            /// The one-based number.
            pub const fn number(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

one_based!(
    /// A line of a text; the first is 1. A zero-based number does not compile.
    Line
);
one_based!(
    /// A column of a line in Unicode code points; the first is 1.
    Column
);

/// A line and a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Position {
    /// One-based line.
    pub line: Line,
    /// One-based column in code points.
    pub column: Column,
}

impl Position {
    /// The start of a text.
    pub const START: Self = Self { line: Line::FIRST, column: Column::FIRST };

    /// From one-based numbers; `None` if either is zero.
    pub const fn new(line: u32, column: u32) -> Option<Self> {
        match (Line::new(line), Column::new(column)) {
            (Some(line), Some(column)) => Some(Self { line, column }),
            _ => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A half-open range of bytes in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ByteSpan {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte.
    pub end: u64,
}

impl ByteSpan {
    /// The span from `start` to before `end`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }
}

/// A stretch of a file: where it starts, where it ends (exclusive), and its bytes where known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Region {
    /// First character.
    pub start: Position,
    /// After the last character, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Position>,
    /// The same stretch in bytes of the file, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteSpan>,
}

impl Region {
    /// The region that starts here and whose end is not known.
    pub const fn at(start: Position) -> Self {
        Self { start, end: None, bytes: None }
    }

    /// The whole of one line.
    pub const fn line(line: Line) -> Self {
        Self::at(Position { line, column: Column::FIRST })
    }

    /// The region between two positions, `end` exclusive.
    pub const fn between(start: Position, end: Position) -> Self {
        Self { start, end: Some(end), bytes: None }
    }
}

/// Converts byte offsets of one text into lines and columns. Built in one pass over the line ends.
///
/// ```
/// use crashwise_core::LineIndex;
/// let text = "a\nbüc".as_bytes();
/// let index = LineIndex::new(text);
/// assert_eq!(index.position(text, 5).to_string(), "2:3");
/// ```
#[derive(Debug, Clone)]
pub struct LineIndex {
    /// Offset of the first byte of each line.
    starts: Vec<usize>,
    /// How many code points stand in front of each block of [`BLOCK`] bytes; empty where no line is longer than a block.
    counts: Vec<usize>,
}

/// Bytes of which the code points are counted at most for one column, twice.
const BLOCK: usize = 4096;

impl LineIndex {
    /// Finds the line starts of `text`. Lines end with `\n`.
    pub fn new(text: &[u8]) -> Self {
        let mut starts = Vec::with_capacity(1 + text.len() / 32);
        starts.push(0);
        starts.extend(memchr::memchr_iter(b'\n', text).map(|at| at + 1));
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let is_long = starts.iter().zip(ends).any(|(start, end)| end - start > BLOCK);
        let mut counts = Vec::new();
        if is_long {
            let mut count = 0;
            counts.push(count);
            counts.extend(text.chunks(BLOCK).map(|block| {
                count += code_points(block);
                count
            }));
        }
        Self { starts, counts }
    }

    /// The position of a byte offset of the same text; offsets behind the end give the end.
    pub fn position(&self, text: &[u8], offset: usize) -> Position {
        let offset = offset.min(text.len());
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts[line];
        let column = if offset - start > BLOCK {
            self.code_points_before(text, offset) - self.code_points_before(text, start)
        } else {
            code_points(&text[start..offset])
        };
        Position { line: Line::from_zero_based(line), column: Column::from_zero_based(column) }
    }

    fn code_points_before(&self, text: &[u8], offset: usize) -> usize {
        let block = offset / BLOCK;
        let counted = self.counts.get(block).copied().unwrap_or_default();
        counted + code_points(&text[block * BLOCK..offset])
    }

    /// The region of a byte range of the same text, with its bytes.
    pub fn region(&self, text: &[u8], range: std::ops::Range<usize>) -> Region {
        Region {
            start: self.position(text, range.start),
            end: Some(self.position(text, range.end)),
            bytes: Some(ByteSpan::new(range.start as u64, range.end as u64)),
        }
    }

    /// The bytes of the line that holds an offset, without its line end.
    pub fn line_text<'t>(&self, text: &'t [u8], offset: usize) -> &'t [u8] {
        let offset = offset.min(text.len());
        let line = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let end = self.starts.get(line + 1).map_or(text.len(), |next| next - 1);
        let bytes = &text[self.starts[line]..end];
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    /// How many lines there are; an empty text has one.
    pub fn lines(&self) -> usize {
        self.starts.len()
    }
}

/// Counts code points; a byte that starts none (broken UTF-8) counts unless it looks like a continuation.
fn code_points(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_long_lines() {
        for (len, step) in [(2, 1), (3, BLOCK), (4, BLOCK)] {
            let mut text = "\u{fc}x\n".repeat(len);
            text.push_str(&"\u{20ac}y".repeat(len * step / 4 * len));
            for tail in ["", "z", "\n\u{fc}"] {
                let text = format!("{text}{tail}");
                let index = LineIndex::new(text.as_bytes());
                let (mut line, mut column) = (1, 1);
                for (offset, char) in text.char_indices() {
                    if offset % BLOCK < 8 || offset % 97 < 4 {
                        let expect = Position::new(line, column).unwrap();
                        assert_eq!(
                            index.position(text.as_bytes(), offset),
                            expect,
                            "{len} {tail:?} {offset}"
                        );
                    }
                    (line, column) = if char == '\n' { (line + 1, 1) } else { (line, column + 1) };
                }
                let end = Position::new(line, column).unwrap();
                assert_eq!(index.position(text.as_bytes(), text.len()), end, "{len} {tail:?}");
            }
        }
    }

    #[test]
    fn positions() {
        let text = b"ab\r\n\xc3\xbcx\n\n\xff\xfe!";
        let index = LineIndex::new(text);
        for (offset, expect) in
            [(0, "1:1"), (2, "1:3"), (4, "2:1"), (6, "2:2"), (8, "3:1"), (9, "4:1"), (11, "4:3"), (99, "4:4")]
        {
            assert_eq!(index.position(text, offset).to_string(), expect, "offset {offset}");
        }
        assert_eq!(index.line_text(text, 1), b"ab");
        assert_eq!(index.line_text(text, 8), b"");
        assert_eq!(index.lines(), 4);
        assert!(Line::new(0).is_none());
        assert_eq!(Line::from_zero_based(usize::MAX).number(), u32::MAX);
    }
}
