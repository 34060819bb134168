//! Exceptions of OCaml.
//!
//! ```text
//! Fatal error: exception Invalid_argument("index out of bounds")
//! Raised by primitive operation at Demo.field in file "src/parse.ml", line 42, characters 26-39
//! Called from Demo.record in file "src/parse.ml", line 61, characters 4-30
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after, number};

/// Files of the standard library that raise or call what is given to them.
const LIBRARY: [&str; 16] = [
    "array.ml",
    "buffer.ml",
    "bytes.ml",
    "hashtbl.ml",
    "int32.ml",
    "lazy.ml",
    "list.ml",
    "map.ml",
    "pervasives.ml",
    "printf.ml",
    "queue.ml",
    "scanf.ml",
    "seq.ml",
    "set.ml",
    "stdlib.ml",
    "string.ml",
];

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let text = after(lines.at(index), "Fatal error: exception ")?;
    let name = text.split(['(', ' ']).next()?;
    let cause = name.rsplit('.').next().unwrap_or(name);
    let (kind, weight) = match cause {
        "Stack_overflow" => ("stack-overflow", Weight::Fault),
        "Out_of_memory" => ("out-of-memory", Weight::Limit),
        "Assert_failure" => ("assertion", Weight::Program),
        _ => ("ocaml-exception", Weight::Program),
    };
    let mut clue = Clue::new(weight, index, kind, text);
    clue.cause = (kind == "ocaml-exception").then(|| cause.into());
    clue.stack = stack;
    Some(clue)
}

fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    lines.from(from).take(1024).map_while(|(_, line)| frame(line)).collect()
}

/// `Called from Demo.record in file "src/parse.ml" (inlined), line 61, characters 4-30`, before 4.12 without a name.
fn frame(line: &str) -> Option<RawFrame<'_>> {
    let text = ["Raised by primitive operation at ", "Raised at ", "Re-raised at ", "Called from "]
        .iter()
        .find_map(|start| line.strip_prefix(start))?;
    let (function, place) = text.split_once("file \"")?;
    let (file, rest) = place.split_once('"')?;
    let row = after(rest, "line ").and_then(number).and_then(|(row, _)| u32::try_from(row).ok());
    let column =
        after(rest, "characters ").and_then(number).and_then(|(column, _)| u32::try_from(column).ok());
    let function = function.strip_suffix("in ").unwrap_or(function).trim();
    // The standard library's files have no folder, and before 4.12 no names either.
    let library = function.starts_with("Stdlib") || (!file.contains('/') && LIBRARY.contains(&file));
    if library {
        return Some(RawFrame { function, module: Some("libcamlrun"), ..RawFrame::default() });
    }
    Some(RawFrame { function, file: Some(file), line: row, column, ..RawFrame::default() })
}
