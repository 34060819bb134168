//! The frames of a stack with their names and with whose code they are.

use std::collections::HashMap;

use super::frame::{Frame, RawFrame, Role};
use super::function::function_name;
use super::machinery::allocates;
use super::paths::library;
use super::scope::{Place, Scope, is_entry, normal_path};

/// Frames with their names normalised and their roles, up to the harness.
pub(super) fn judged(raw: &[RawFrame<'_>], scope: &Scope) -> Vec<Frame> {
    // Stack overflows repeat a few names hundreds of times.
    let mut names: HashMap<&str, String> = HashMap::new();
    let paths: Vec<_> =
        raw.iter().map(|frame| frame.file.map(|file| scope.rooted(normal_path(file)))).collect();
    let places: Vec<Place> =
        raw.iter().zip(&paths).map(|(frame, path)| scope.judge(frame, path.as_deref())).collect();
    let within = within(&places);
    let own = raw
        .iter()
        .zip(&paths)
        .any(|(_, path)| path.as_deref().is_some_and(|path| scope.relative(path).is_some()));
    let mut entered = false;
    let mut frames = Vec::with_capacity(raw.len());
    for (((frame, path), place), within) in raw.iter().zip(paths).zip(places).zip(within) {
        let function = names.entry(frame.function).or_insert_with(|| function_name(frame.function)).clone();
        let mut role = if entered { Role::Runtime } else { place.role(own, &function) };
        // A copy of an allocator or of a string function that the sanitizer brings along.
        if role == Role::Project && path.is_none() && frame.function.starts_with("__interceptor_") {
            role = Role::Runtime;
        }
        if role == Role::Project && within {
            role = Role::Dependency;
        }
        entered |= is_entry(&function);
        let file = path.map(|path| scope.relative(&path).map_or_else(|| path.to_string(), str::to_owned));
        let module = frame.module.filter(|_| file.is_none());
        let module = module.map(|module| scope.relative(module).unwrap_or(module).to_owned());
        frames.push(Frame { function, file, line: frame.line, column: frame.column, module, role });
    }
    if frames.iter().all(|frame| frame.role == Role::Runtime) {
        name_by_offset(&mut frames, raw);
    }
    frames
}

/// Which frames without a path a library calls, and call only the same or the runtime: they are the library's.
fn within(places: &[Place]) -> Vec<bool> {
    let mut called = vec![false; places.len()];
    let mut by_library = false;
    for (called, place) in called.iter_mut().zip(places).rev() {
        *called = by_library;
        if !matches!(place, Place::Nowhere) {
            by_library = matches!(place, Place::Dependency);
        }
    }
    let mut calls_library = false;
    for (called, place) in called.iter_mut().zip(places) {
        *called &= calls_library && matches!(place, Place::Nowhere);
        if !matches!(place, Place::Nowhere) {
            calls_library = matches!(place, Place::Dependency | Place::Runtime);
        }
    }
    called
}

/// Of a program without symbols all that is known of a function is where it lies.
fn name_by_offset(frames: &mut [Frame], raw: &[RawFrame<'_>]) {
    for (frame, raw) in frames.iter_mut().zip(raw) {
        if let (true, None, Some(module), Some(offset)) =
            (frame.function.is_empty(), raw.file, raw.module, raw.offset)
            && !library(module)
        {
            let name = module.rsplit(['/', '\\']).next().unwrap_or(module);
            frame.function = format!("{name}+0x{offset}");
            frame.role = Role::Project;
        }
    }
}

/// The place that the report names itself, if no frame is there: it is the innermost.
pub(super) fn add_place(frames: &mut Vec<Frame>, place: &RawFrame<'_>, scope: &Scope) {
    let Some(frame) = judged(std::slice::from_ref(place), scope).pop() else { return };
    let Some(file) = frame.file.clone() else { return };
    let same = |other: &Frame| {
        other.line == frame.line
            && other.file.as_deref().is_some_and(|path| {
                path == file || path.ends_with(&format!("/{file}")) || file.ends_with(&format!("/{path}"))
            })
    };
    if let Some(known) = frames.iter_mut().find(|other| same(other)) {
        if known.column.is_none() {
            known.column = frame.column;
        }
        return;
    }
    // Of a crate by its name: `demo::run` and `demo-0.3.2/src/lib.rs`.
    if let Some(first) = frames.iter_mut().find(|other| other.role != Role::Runtime)
        && first.file.is_none()
        && let Some((crate_name, _)) = first.function.split_once("::")
        && file.contains(&format!("/{}-", crate_name.replace('_', "-")))
    {
        *first = Frame { function: std::mem::take(&mut first.function), ..frame };
        return;
    }
    if frames.iter().any(|frame| frame.role == Role::Project) && frame.role != Role::Project {
        return;
    }
    if frame.function.is_empty() {
        // A panic's place is in the innermost frame that is not the runtime's, if the file is the same.
        let first = frames.iter_mut().find(|other| other.role != Role::Runtime);
        if let Some(first) = first
            && first.file.as_deref().is_none_or(|path| path.ends_with(&file) || file.ends_with(path))
        {
            first.file = Some(file);
            first.line = frame.line;
            first.column = frame.column;
            first.module = None;
            return;
        }
    }
    frames.insert(0, frame);
}

/// Whether the innermost frame, though it has no name, is the allocator or the string function that a sanitizer put in the
/// place of another: such an error is only ever found in one.
pub(super) fn intercepted(kind: &str, raw: &[RawFrame<'_>]) -> bool {
    let found = matches!(
        kind,
        "alloc-dealloc-mismatch"
            | "bad-free"
            | "double-free"
            | "memory-leak"
            | "negative-size-param"
            | "new-delete-type-mismatch"
            | "param-overlap"
    );
    match raw {
        [first, second, ..] => {
            found && first.function.is_empty() && first.file.is_none() && first.module == second.module
        }
        _ => false,
    }
}

pub(super) fn raises(frames: &[Frame]) -> bool {
    frames.first().is_some_and(|frame| {
        matches!(frame.function.as_str(), "raise" | "gsignal" | "abort" | "__pthread_kill_implementation")
            && frame.role == Role::Runtime
    })
}

/// Wrappers of an allocator at the top are not at fault, if anything below them can be.
pub(super) fn pass_allocators(frames: &mut [Frame]) {
    let is_wrapper = |frame: &Frame| frame.role != Role::Runtime && allocates(&frame.function);
    let Some(end) = frames.iter().position(|frame| frame.role != Role::Runtime && !is_wrapper(frame)) else {
        return;
    };
    for frame in frames[..end].iter_mut().filter(|frame| is_wrapper(frame)) {
        frame.role = Role::Runtime;
    }
}
