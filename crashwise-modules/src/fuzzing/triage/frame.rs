use std::fmt;

use serde::{Deserialize, Serialize};

use super::function::is_unit;

/// Whose code a frame is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Role {
    /// The project's own.
    Project,
    /// A library that the project uses.
    Dependency,
    /// Standard libraries, allocators, sanitizers, the fuzzer and the code that starts the program.
    Runtime,
}

/// One frame of a stack, innermost first, with its names normalised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Frame {
    /// Function without arguments, generics, hash and closure numbers; empty if unknown.
    pub function: String,
    /// Source file as the report has it, with `.` and `..` resolved; relative to the scope's root if below it.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
    /// Executable or library, where there is no source file.
    pub module: Option<String>,
    /// Whose code it is.
    pub role: Role,
}

impl fmt::Display for Frame {
    /// `file:line:column`, as far as known; else the module, else the function.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = self.file.as_deref() else {
            return f.write_str(self.module.as_deref().unwrap_or(&self.function));
        };
        f.write_str(file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
            if let Some(column) = self.column {
                write!(f, ":{column}")?;
            }
        }
        Ok(())
    }
}

/// A frame as a log has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RawFrame<'a> {
    pub(super) function: &'a str,
    pub(super) file: Option<&'a str>,
    pub(super) line: Option<u32>,
    pub(super) column: Option<u32>,
    pub(super) module: Option<&'a str>,
    /// Where in the module.
    pub(super) offset: Option<&'a str>,
}

impl<'a> RawFrame<'a> {
    /// A frame at `place`, which is `file`, `file:line` or `file:line:column`.
    pub(super) fn at(function: &'a str, place: &'a str) -> Self {
        let (file, line, column) = split_place(place);
        let known = !matches!(file, "" | "<null>" | "??" | "...") && !is_unit(file);
        let file = known.then_some(file);
        Self { function, file, line, column, module: None, offset: None }
    }
}

/// Splits `file:line:column`, both optional. Zero is no line.
pub(super) fn split_place(place: &str) -> (&str, Option<u32>, Option<u32>) {
    let numbered = |text: &'_ str| -> Option<(usize, u32)> {
        let at = text.rfind(':')?;
        Some((at, text[at + 1..].parse().ok()?))
    };
    let Some((at, last)) = numbered(place) else { return (place, None, None) };
    let (file, line, column) = match numbered(&place[..at]) {
        Some((first, line)) => (&place[..first], line, last),
        None => (&place[..at], last, 0),
    };
    (file, (line > 0).then_some(line), (column > 0).then_some(column))
}

#[cfg(test)]
mod tests {
    use super::split_place;

    #[test]
    fn places_are_split_from_the_right() {
        for (place, expect) in [
            ("/a/b.c:12:3", ("/a/b.c", Some(12), Some(3))),
            ("/a/b.c:12", ("/a/b.c", Some(12), None)),
            ("/a/b.c", ("/a/b.c", None, None)),
            (r"C:\src\x.cc:7:1", (r"C:\src\x.cc", Some(7), Some(1))),
            ("x.c:0:0", ("x.c", None, None)),
            ("a:b", ("a:b", None, None)),
            ("", ("", None, None)),
            ("x:99999999999", ("x:99999999999", None, None)),
        ] {
            assert_eq!(split_place(place), expect, "{place}");
        }
    }
}
