use std::fmt;

use serde::{Deserialize, Serialize};

use super::frame::{Frame, Role};
use super::paths::is_in_process;
use super::scope::is_entry;

/// Frames that tell one crash from another.
pub(super) const TELLING: usize = 3;

/// A hash over what tells crashes apart: 32 hexadecimal digits, stable over runs, machines and versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StackHash(String);

impl StackHash {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hasher.finalize().to_hex()[..32].to_owned())
    }
}

impl fmt::Display for StackHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The frames by which a crash is known: the first three of the project but its harness, else of its libraries, else of anything. Of
/// a recursion, the functions of the cycle in an order that does not depend on where the stack ran out.
pub(super) fn telling<'a>(frames: &'a [Frame], recursive: bool) -> Vec<&'a Frame> {
    let of = |role: Role| frames.iter().filter(move |frame| frame.role == role && !frame.function.is_empty());
    // A harness that only calls a library is on every stack, and tells none from another.
    let harness = harness(frames);
    let mut chosen: Vec<&'a Frame> = of(Role::Project).filter(|frame| !is_harness(frame, harness)).collect();
    if chosen.is_empty() {
        chosen = of(Role::Dependency).collect();
    }
    if chosen.is_empty() {
        chosen = of(Role::Project).collect();
    }
    if chosen.is_empty() {
        chosen = frames.iter().filter(|frame| !frame.function.is_empty()).collect();
    }
    if recursive {
        return cycle(&chosen);
    }
    chosen.dedup_by(|a, b| a.function == b.function);
    chosen.truncate(TELLING);
    chosen
}

/// The frame that is to blame: the innermost of the project, else of its libraries.
pub(super) fn blamed(frames: &[Frame]) -> Option<usize> {
    let first = |role: Role| frames.iter().position(|frame| frame.role == role);
    let (own, library) = (first(Role::Project), first(Role::Dependency));
    // Where other languages install libraries, projects install themselves.
    let is_crate =
        |at: &usize| frames[*at].file.as_deref().is_some_and(|file| file.rsplit('.').next() == Some("rs"));
    let inside = library.filter(|at| is_crate(at) && own.is_none_or(|own| *at < own) && only_calls(frames));
    inside.or(own).or(library)
}

/// Whether all of the project that is on a stack is a harness which calls something else: one function, or a target of cargo-fuzz.
fn only_calls(frames: &[Frame]) -> bool {
    let harness = harness(frames);
    let inside = frames.iter().position(|frame| frame.file.as_deref().is_some_and(is_in_process));
    let frames = &frames[..inside.unwrap_or(frames.len())];
    let own = || frames.iter().filter(|frame| frame.role == Role::Project);
    let target = |frame: &Frame| frame.file.as_deref().is_some_and(|file| file.contains("fuzz_targets/"));
    let mut functions = own().filter(|frame| !is_entry(&frame.function)).map(|frame| &frame.function);
    let one = functions.next().is_none_or(|first| functions.all(|other| other == first));
    own().all(|frame| target(frame) || (one && is_harness(frame, harness)))
}

fn is_harness(frame: &Frame, harness: Option<&str>) -> bool {
    frame.file.as_deref().is_some_and(|file| Some(file) == harness || file.contains("fuzz_targets/"))
}

/// The file of the function that the fuzzer calls: one of a known name, or what the fuzzer of the program itself calls.
fn harness(frames: &[Frame]) -> Option<&str> {
    let project = |frame: &&Frame| frame.role == Role::Project;
    let entry = || frames.iter().rev().filter(project).find(|frame| is_entry(&frame.function));
    let inside = frames.iter().position(|frame| frame.file.as_deref().is_some_and(is_in_process));
    let called = inside.and_then(|at| frames[..at].iter().rev().find(project));
    called.or_else(entry)?.file.as_deref()
}

/// The distinct functions that recur, sorted by name; all of them if none does.
fn cycle<'a>(frames: &[&'a Frame]) -> Vec<&'a Frame> {
    let mut sorted: Vec<&Frame> = frames.to_vec();
    sorted.sort_by(|a, b| (&a.function, &a.file, a.line).cmp(&(&b.function, &b.file, b.line)));
    let mut repeated: Vec<&Frame> = sorted
        .chunk_by(|a, b| a.function == b.function)
        .filter(|chunk| chunk.len() > 2)
        .map(|chunk| chunk[0])
        .collect();
    if repeated.is_empty() {
        repeated = frames.iter().copied().take(TELLING).collect();
    }
    repeated.truncate(8);
    repeated
}
