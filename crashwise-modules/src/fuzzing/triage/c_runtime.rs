//! What the C and C++ runtimes print before they abort: uncaught exceptions, heap corruption.
//!
//! ```text
//! terminate called after throwing an instance of 'std::out_of_range'
//!   what():  vector::_M_range_check
//! double free or corruption (fasttop)
//! ```

use super::clue::{Clue, Weight};
use super::frame::RawFrame;
use super::lines::{Lines, after};
use super::{native, valgrind};

pub(super) fn clue<'a>(lines: &Lines<'a>, index: usize) -> Option<Clue<'a>> {
    let line = lines.at(index);
    exception(lines, index, line).or_else(|| heap(index, line))
}

fn exception<'a>(lines: &Lines<'a>, index: usize, line: &'a str) -> Option<Clue<'a>> {
    if let Some(rest) =
        after(line, "after throwing an instance of '").or_else(|| after(line, "uncaught exception of type "))
    {
        let class = rest.split(['\'', ':']).next().filter(|class| !class.is_empty()).unwrap_or(rest);
        let class = if rest.starts_with("std::") {
            rest.split(['\'', ' ']).next()?.trim_end_matches(':')
        } else {
            class
        };
        let what = lines.at(index + 1);
        let message =
            after(what, "what():").or_else(|| rest.split_once(": ").map(|(_, what)| what)).unwrap_or(class);
        let mut clue = Clue::new(Weight::Program, index, "uncaught-exception", message);
        clue.stack = stack;
        clue.cause = Some(class.to_owned().into());
        return Some(clue);
    }
    if line.contains("terminate called without an active exception")
        || line.contains("terminate called throwing an exception")
        || line.contains("terminate called recursively")
    {
        return Some(Clue::new(Weight::Program, index, "uncaught-exception", line));
    }
    if line.contains("pure virtual method called") || line.contains("Pure virtual function called") {
        return Some(Clue::new(Weight::Program, index, "pure-virtual-call", line));
    }
    None
}

/// The stack, of whichever tool the program ran under.
fn stack<'a>(lines: &Lines<'a>, from: usize) -> Vec<RawFrame<'a>> {
    let frames = native::stack(lines, from);
    if frames.is_empty() { valgrind::stack(lines, from) } else { frames }
}

fn heap(index: usize, line: &str) -> Option<Clue<'_>> {
    const TEXTS: &[(&str, &str)] = &[
        ("*** stack smashing detected ***", "stack-smashing"),
        ("*** buffer overflow detected ***", "fortify-buffer-overflow"),
        ("detected source and destination buffer overlap", "param-overlap"),
        ("double free or corruption", "heap-corruption"),
        ("double free detected in tcache", "heap-corruption"),
        ("free(): invalid pointer", "heap-corruption"),
        ("free(): invalid size", "heap-corruption"),
        ("free(): invalid next size", "heap-corruption"),
        ("free(): corrupted unsorted chunks", "heap-corruption"),
        ("munmap_chunk(): invalid pointer", "heap-corruption"),
        ("malloc(): corrupted", "heap-corruption"),
        ("malloc(): memory corruption", "heap-corruption"),
        ("malloc(): invalid size", "heap-corruption"),
        ("malloc(): unaligned tcache chunk", "heap-corruption"),
        ("malloc_consolidate(): ", "heap-corruption"),
        ("realloc(): invalid", "heap-corruption"),
        ("corrupted size vs. prev_size", "heap-corruption"),
        ("corrupted double-linked list", "heap-corruption"),
        ("malloc(): unsorted double linked list corrupted", "heap-corruption"),
        ("pointer being freed was not allocated", "heap-corruption"),
        ("incorrect checksum for freed object", "heap-corruption"),
        ("Scudo ERROR: corrupted chunk header", "heap-corruption"),
        ("Scudo ERROR: invalid chunk state", "double-free"),
        ("Scudo ERROR: ", "heap-corruption"),
        ("FORTIFY: ", "fortify-buffer-overflow"),
        ("*** %n in writable segment detected ***", "fortify-format-string"),
    ];
    let (_, kind) = TEXTS.iter().find(|(text, _)| line.contains(text))?;
    let mut clue = Clue::new(Weight::Program, index, *kind, line);
    clue.stack = stack;
    Some(clue)
}
