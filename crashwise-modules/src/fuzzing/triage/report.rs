use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::clue::Clue;
use super::frame::{Frame, Role};
use super::hash::{self, StackHash};
use super::lines::Lines;
use super::message::fold;
use super::roles::{add_place, intercepted, judged, pass_allocators, raises};
use super::scope::Scope;
use super::severity::Exploitability;
use super::summary;

/// What a memory access was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AccessKind {
    /// It read.
    Read,
    /// It wrote.
    Write,
    /// It jumped there.
    Execute,
    /// The report does not know.
    Unknown,
}

/// The memory access that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Access {
    /// What it was.
    pub kind: AccessKind,
    /// Bytes, where the report says.
    pub size: Option<u64>,
}

/// A crash, as its report tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CrashReport {
    /// What happened, in the sanitizers' words: `heap-buffer-overflow`, `segv`, `signed-integer-overflow`,
    /// `rust-panic`, `go-panic`, `java-exception`, `python-exception`, `assertion`, `stack-overflow`, `timeout`, …
    pub kind: String,
    /// The kind more closely: `index-out-of-bounds`, `null-dereference`, or the class of an exception.
    pub cause: Option<String>,
    /// The access that failed.
    pub access: Option<Access>,
    /// The address it failed at.
    pub address: Option<u64>,
    /// What the report says, on one line.
    pub message: String,
    /// The stack of the crash, innermost first, at most 1,024 frames.
    pub frames: Vec<Frame>,
    /// The index in `frames` of the first frame of the project's own code, else of its libraries. A harness that only calls the
    /// library in which it happens is passed over.
    pub blamed: Option<usize>,
    /// How bad it is.
    pub exploitability: Exploitability,
    /// Kind and functions: survives edits that move lines. Crashes of one `major` are one bug.
    pub major: StackHash,
    /// The same with files and lines.
    pub minor: StackHash,
}

impl CrashReport {
    /// The frame that is to blame.
    pub fn blame(&self) -> Option<&Frame> {
        self.frames.get(self.blamed?)
    }

    /// The functions of the code at fault that recur in the stack, at least three times each.
    pub(crate) fn recurring(&self) -> BTreeSet<&str> {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for frame in self.own() {
            *counts.entry(&frame.function).or_default() += 1;
        }
        counts.into_iter().filter(|(_, count)| *count > 2).map(|(function, _)| function).collect()
    }

    /// The functions of the code at fault, outermost first.
    pub(crate) fn path(&self) -> Vec<&str> {
        let mut path: Vec<&str> = self.own().map(|frame| frame.function.as_str()).collect();
        path.reverse();
        path.dedup();
        path
    }

    /// Frames with names of the project, else of its libraries.
    fn own(&self) -> impl Iterator<Item = &Frame> {
        let has =
            |role: Role| self.frames.iter().any(|frame| frame.role == role && !frame.function.is_empty());
        let role = if has(Role::Project) { Role::Project } else { Role::Dependency };
        self.frames.iter().filter(move |frame| frame.role == role && !frame.function.is_empty())
    }

    /// One line for people: `heap-buffer-overflow (write of 1 byte) in parse at src/c.c:12:35`.
    pub fn title(&self) -> String {
        let mut title = self.kind.clone();
        let access = self.access.map(|access| {
            let kind = match access.kind {
                AccessKind::Read => "read",
                AccessKind::Write => "write",
                AccessKind::Execute => "jump",
                AccessKind::Unknown => "access",
            };
            match access.size {
                Some(1) => format!("{kind} of 1 byte"),
                Some(size) => format!("{kind} of {size} bytes"),
                None => kind.to_owned(),
            }
        });
        let inner: Vec<&str> = self.cause.as_deref().into_iter().chain(access.as_deref()).collect();
        if !inner.is_empty() {
            let _ = write!(title, " ({})", inner.join(", "));
        }
        if let Some(frame) = self.blame() {
            if !frame.function.is_empty() {
                let _ = write!(title, " in {}", frame.function);
            }
            if frame.file.is_some() {
                let _ = write!(title, " at {frame}");
            }
        }
        title
    }
}

/// Builds the report that begins at `clue`.
pub(super) fn assemble<'a>(lines: &Lines<'a>, clue: Clue<'a>, scope: &Scope) -> CrashReport {
    let mut raw = (clue.stack)(lines, clue.line + 1);
    if raw.is_empty() && clue.place.is_none() {
        raw = summary::below(lines, clue.line);
    }
    let mut frames = judged(&raw, scope);
    if intercepted(&clue.kind, &raw) {
        frames[0].role = Role::Runtime;
    }
    if let Some(place) = clue.place {
        add_place(&mut frames, &place, scope);
    }
    if matches!(
        clue.kind.as_ref(),
        "memory-leak" | "out-of-memory" | "allocation-size-too-big" | "rss-limit-exceeded"
    ) {
        pass_allocators(&mut frames);
    }
    // A signal that the program sent itself, of which older sanitizers say that its address cannot be read.
    let clue = if clue.kind == "segv" && raises(&frames) {
        Clue { kind: "abrt".into(), cause: None, access: None, ..clue }
    } else {
        clue
    };
    let blamed = hash::blamed(&frames);
    let message: String =
        clue.message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(2000).collect();
    let folded = fold(&message);

    let recursive = clue.kind == "stack-overflow";
    let mut telling = hash::telling(&frames, recursive);
    // Where a recursion ran out of stack is chance: to blame is who recurs.
    let recurs = |frame: &Frame| telling.iter().any(|one| one.function == frame.function);
    let blamed = if recursive { frames.iter().position(recurs).or(blamed) } else { blamed };
    // Which of the accesses of a race was told first is chance.
    let other = clue.other.map(|other| judged(&other(lines, clue.line + 1), scope)).unwrap_or_default();
    let second = hash::telling(&other, false);
    if !second.is_empty() {
        telling.extend(second);
        telling.sort_by(|a, b| (&a.function, &a.file, a.line).cmp(&(&b.function, &b.file, b.line)));
    }
    let access = clue.access.filter(|_| clue.other.is_none());
    let access = access.map_or("", |access| match access.kind {
        AccessKind::Read => "read",
        AccessKind::Write => "write",
        AccessKind::Execute => "execute",
        AccessKind::Unknown => "",
    });
    let (kind, cause) = counted(&clue.kind, clue.cause.as_deref());
    let mut parts = vec![kind, cause, access];
    // A free text tells crashes apart only where nothing better does.
    let place = frames.first().map(|frame| frame.file.as_deref().unwrap_or("")).unwrap_or_default();
    if telling.is_empty() {
        parts.push(if place.is_empty() || clue.cause.is_none() { &folded } else { "" });
        parts.push(place);
    } else if clue.cause.is_none()
        && matches!(clue.kind.as_ref(), "rust-panic" | "assertion" | "check-failed")
    {
        parts.push(&folded);
    }
    for frame in &telling {
        parts.push(&frame.function);
        // The text of a script outside its functions has one name in every script.
        if matches!(frame.function.as_str(), "module" | "Object" | "{main}") {
            parts.push(frame.file.as_deref().and_then(|file| file.rsplit(['/', '\\']).next()).unwrap_or(""));
        }
    }
    let major = StackHash::of(parts.iter().copied());
    let places: Vec<String> = if telling.is_empty() {
        frames.iter().take(1).map(ToString::to_string).collect()
    } else {
        telling.iter().map(ToString::to_string).collect()
    };
    let minor = StackHash::of(parts.iter().copied().chain(places.iter().map(String::as_str)));

    CrashReport {
        exploitability: Exploitability::of((&clue.kind, clue.cause.as_deref()), clue.access, clue.address),
        kind: clue.kind.into_owned(),
        cause: clue.cause.map(std::borrow::Cow::into_owned),
        access: clue.access,
        address: clue.address,
        message,
        blamed,
        major,
        minor,
        frames,
    }
}

/// Kind and cause as crashes are told apart by them. A size that nobody checks makes an allocation fail in one of several ways,
/// by how large it is.
fn counted<'a>(kind: &'a str, cause: Option<&'a str>) -> (&'a str, &'a str) {
    match (kind, cause) {
        ("out-of-memory" | "allocation-size-too-big" | "rss-limit-exceeded", _)
        | (_, Some("capacity-overflow")) => ("allocation", ""),
        (kind, cause) => (kind, cause.unwrap_or("")),
    }
}

/// See [`super::signature`].
pub(super) fn signature<'a>(lines: &Lines<'a>, clue: &Clue<'a>) -> StackHash {
    let mut parts = vec![clue.kind.to_string(), clue.cause.as_deref().unwrap_or("").to_owned()];
    if let Some(place) = clue.place.filter(|place| place.file.is_some()) {
        parts.push(format!("{}:{:?}:{:?}", place.file.unwrap_or(""), place.line, place.column));
        return StackHash::of(parts.iter().map(String::as_str));
    }
    let raw = (clue.stack)(lines, clue.line + 1);
    let mut frames: Vec<String> = raw
        .iter()
        .take(64)
        .map(|frame| {
            let name = frame.offset.unwrap_or(frame.function);
            let module = frame.module.and_then(|module| module.rsplit('/').next()).unwrap_or("");
            format!("{module}+{name}:{}", frame.line.unwrap_or(0))
        })
        .collect();
    if clue.kind == "stack-overflow" {
        // Where in the cycle the stack ran out is chance.
        frames.drain(..frames.len().min(4));
        frames.sort_unstable();
        frames.dedup();
    } else {
        frames.truncate(20);
    }
    parts.extend(frames);
    StackHash::of(parts.iter().map(String::as_str))
}
