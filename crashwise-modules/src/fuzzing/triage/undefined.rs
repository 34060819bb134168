//! `UndefinedBehaviorSanitizer`, and control flow integrity, which reports through it.
//!
//! ```text
//! c.c:24:30: runtime error: signed integer overflow: 2147483647 + 1 cannot be represented in type 'int'
//!     #0 0x5594c46b5ee4 in parse /src/c.c:24:30
//! ```

use super::clue::{Clue, Weight};
use super::fault;
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::{native, symbolized};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    if let Some(text) = after(line, "UndefinedBehaviorSanitizer: ")
        && !line.contains("SUMMARY:")
    {
        return fault::clue(lines, index, text);
    }
    let at = line.find(": runtime error: ")?;
    let text = &line[at + ": runtime error: ".len()..];
    // Go says `panic: runtime error: …`: no place stands before it.
    let place = line[..at].rsplit([' ', '\t']).next()?.trim_start_matches(['`', '"', '\'']);
    let frame = RawFrame::at("", place);
    if frame.line.is_none() && !place.starts_with('<') {
        return None;
    }
    let mut clue = Clue::new(Weight::Undefined, index, kind(text), text);
    clue.place = Some(frame);
    clue.stack = stack;
    clue.address = fault::address(text);
    Some(clue)
}

/// The stack follows at once or not at all; a later one belongs to something else.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let near = (from..from + 8).find(|index| symbolized::frame(lines.at(*index)).is_some());
    near.map(|index| native::stack(lines, index)).unwrap_or_default()
}

fn kind(text: &str) -> &'static str {
    const STARTS: &[(&str, &str)] = &[
        ("signed integer overflow", "signed-integer-overflow"),
        ("unsigned integer overflow", "unsigned-integer-overflow"),
        ("negation of ", "negation-overflow"),
        ("division by zero", "division-by-zero"),
        ("shift exponent ", "invalid-shift"),
        ("left shift of ", "invalid-shift"),
        ("right shift of ", "invalid-shift"),
        ("index ", "index-out-of-bounds"),
        ("load of null pointer", "null-dereference"),
        ("store to null pointer", "null-dereference"),
        ("reference binding to null pointer", "null-reference"),
        ("member access within null pointer", "null-dereference"),
        ("member call on null pointer", "null-dereference"),
        ("applying non-zero offset ", "pointer-overflow"),
        ("applying zero offset to null pointer", "pointer-overflow"),
        ("pointer index expression with base ", "pointer-overflow"),
        ("addition of unsigned offset to ", "pointer-overflow"),
        ("subtraction of unsigned offset from ", "pointer-overflow"),
        ("null pointer passed as argument ", "null-argument"),
        ("null pointer returned from function ", "null-return"),
        ("null pointer use", "null-dereference"),
        ("execution reached an unreachable program point", "unreachable"),
        ("execution reached the end of a value-returning function", "missing-return"),
        ("variable length array bound evaluates to non-positive value", "non-positive-vla-bound"),
        ("control flow integrity check for type ", "cfi-bad-cast"),
        ("downcast of ", "bad-cast"),
        ("cast to virtual base of ", "bad-cast"),
        ("call to function ", "incorrect-function-pointer"),
        ("passing zero to ", "invalid-builtin"),
        ("assumption is violated during execution", "assumption-violated"),
        ("assumption of ", "invalid-alignment-assumption"),
        ("implicit conversion from type ", "implicit-conversion"),
        ("constructor call on null pointer", "null-dereference"),
        ("upcast of null pointer", "null-dereference"),
    ];
    if let Some((_, kind)) = STARTS.iter().find(|(start, _)| text.starts_with(start)) {
        return kind;
    }
    if text.contains("misaligned address") || text.contains("misaligned pointer use") {
        "misaligned-address"
    } else if text.contains("null pointer") {
        "null-dereference"
    } else if text.contains("with insufficient space for an object") {
        "insufficient-object-size"
    } else if text.contains("which is not a valid value for type 'bool'")
        || text.contains("for type 'const bool'")
    {
        "invalid-bool"
    } else if text.contains("which is not a valid value for type") {
        if text.contains("'bool") || text.contains("'_Bool") { "invalid-bool" } else { "invalid-enum" }
    } else if text.contains("which does not point to an object of type") {
        "bad-cast"
    } else if text.contains("is outside the range of representable values of type") {
        "float-cast-overflow"
    } else {
        "undefined-behavior"
    }
}

/// What the last line of a report calls an error, of which older ones do not say which it was.
pub(super) fn summed(text: &str) -> &'static str {
    match text.split([' ', ':']).next().unwrap_or(text) {
        "null-pointer-use" => "null-dereference",
        "misaligned-pointer-use" => "misaligned-address",
        "insufficient-object-size" => "insufficient-object-size",
        "signed-integer-overflow" => "signed-integer-overflow",
        "unsigned-integer-overflow" => "unsigned-integer-overflow",
        "integer-divide-by-zero" | "float-divide-by-zero" => "division-by-zero",
        "invalid-shift-base" | "invalid-shift-exponent" | "invalid-shift" => "invalid-shift",
        "out-of-bounds-index" => "index-out-of-bounds",
        "unreachable-call" => "unreachable",
        "missing-return" => "missing-return",
        "non-positive-vla-index" => "non-positive-vla-bound",
        "float-cast-overflow" => "float-cast-overflow",
        "invalid-bool-load" => "invalid-bool",
        "invalid-enum-load" => "invalid-enum",
        "function-type-mismatch" => "incorrect-function-pointer",
        "invalid-null-return" => "null-return",
        "invalid-null-argument" => "null-argument",
        "dynamic-type-mismatch" => "bad-cast",
        "bad-cast" => "cfi-bad-cast",
        "pointer-overflow"
        | "nullptr-with-offset"
        | "nullptr-with-nonzero-offset"
        | "nullptr-after-nonzero-offset" => "pointer-overflow",
        "implicit-unsigned-integer-truncation"
        | "implicit-signed-integer-truncation"
        | "implicit-integer-sign-change"
        | "implicit-signed-integer-truncation-or-sign-change" => "implicit-conversion",
        "alignment-assumption" => "invalid-alignment-assumption",
        "negation-overflow" => "negation-overflow",
        _ => "undefined-behavior",
    }
}
