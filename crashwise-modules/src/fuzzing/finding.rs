//! From a crash to a finding.

use crashwise_core::{
    Confidence, Finding, Fingerprint, InvalidId, Location, Position, RelPath, RuleId, Severity, Workspace,
};

use super::triage::{AccessKind, CrashReport, Exploitability, Frame, Role};

/// The finding of a crash, without its artifacts. Frames in files of the workspace become locations; `bases` are the
/// directories, below its root, that relative paths may start from. A crash without such a frame to blame is where its nearest
/// one is, else at `target`.
pub(super) fn of(
    report: &CrashReport,
    workspace: &Workspace,
    bases: &[&str],
    target: Option<&RelPath>,
) -> Result<Finding, InvalidId> {
    let mut finding =
        Finding::new(RuleId::new(format!("fuzz/{}", report.kind))?, report.title(), severity(report))
            .with_message(report.message.clone())
            .with_confidence(Confidence::High)
            .with_category("fuzzing")
            .with_fingerprint(Fingerprint::of(["fuzz", report.major.as_str()]));
    if let Some(cwe) = weakness(report) {
        finding = finding.with_cwe(cwe);
    }
    let nearest = || report.frames.iter().find_map(|frame| location(frame, workspace, bases));
    let place = report.blame().and_then(|frame| location(frame, workspace, bases)).or_else(nearest);
    if let Some(place) = place.or_else(|| target.cloned().map(Location::new)) {
        finding = finding.with_location(place);
    }
    let mut flow: Vec<Location> = report
        .frames
        .iter()
        .filter(|frame| frame.role == Role::Project)
        .filter_map(|frame| location(frame, workspace, bases))
        .collect();
    // A recursion says the same hundreds of times.
    flow.dedup();
    flow.truncate(64);
    let exploitability = match report.exploitability {
        Exploitability::Exploitable => "exploitable",
        Exploitability::ProbablyExploitable => "probably exploitable",
        Exploitability::NotExploitable => "not exploitable",
    };
    let stack: Vec<String> = report
        .frames
        .iter()
        .filter(|frame| frame.role != Role::Runtime)
        .take(32)
        .map(|frame| format!("{} at {frame}", frame.function))
        .collect();
    Ok(finding
        .with_code_flow(flow)
        .with_evidence("exploitability", exploitability)
        .with_evidence("stack_major", report.major.as_str())
        .with_evidence("stack_minor", report.minor.as_str())
        .with_evidence("stack", stack))
}

fn location(frame: &Frame, workspace: &Workspace, bases: &[&str]) -> Option<Location> {
    let file = frame.file.as_deref()?;
    let there = |path: String| RelPath::new(path).ok().filter(|path| workspace.path(path).is_file());
    let below =
        |base: &&str| if base.is_empty() { there(file.to_owned()) } else { there(format!("{base}/{file}")) };
    // Built elsewhere: the longest end of the path that is a file here.
    let elsewhere = || file.match_indices('/').find_map(|(at, _)| there(file[at + 1..].to_owned()));
    let path = bases.iter().find_map(below).or_else(elsewhere)?;
    let mut location = Location::new(path);
    if let Some(position) = frame.line.and_then(|line| Position::new(line, frame.column.unwrap_or(1))) {
        location = location.with_start(position);
    }
    if !frame.function.is_empty() {
        location = location.with_message(frame.function.clone());
    }
    Some(location)
}

fn severity(report: &CrashReport) -> Severity {
    match report.exploitability {
        Exploitability::Exploitable => Severity::Critical,
        Exploitability::ProbablyExploitable => Severity::High,
        Exploitability::NotExploitable => match report.kind.as_str() {
            "heap-buffer-overflow"
            | "global-buffer-overflow"
            | "stack-buffer-overflow"
            | "stack-buffer-underflow"
            | "dynamic-stack-buffer-overflow"
            | "container-overflow"
            | "heap-use-after-free"
            | "stack-use-after-return"
            | "stack-use-after-scope"
            | "use-of-uninitialized-value"
            | "double-free"
            | "bad-free"
            | "out-of-bounds-pointer"
            | "dangling-pointer"
            | "data-race" => Severity::High,
            "memory-leak" | "implicit-conversion" | "unsigned-integer-overflow" => Severity::Low,
            _ => Severity::Medium,
        },
    }
}

fn weakness(report: &CrashReport) -> Option<u32> {
    let write = report.access.is_some_and(|access| access.kind == AccessKind::Write);
    Some(match report.kind.as_str() {
        "stack-buffer-overflow" | "dynamic-stack-buffer-overflow" | "stack-smashing" if write => 121,
        "heap-buffer-overflow" if write => 122,
        "stack-buffer-underflow" => 124,
        "heap-buffer-overflow"
        | "stack-buffer-overflow"
        | "global-buffer-overflow"
        | "container-overflow"
        | "dynamic-stack-buffer-overflow"
        | "intra-object-overflow" => {
            if write {
                787
            } else {
                125
            }
        }
        "heap-use-after-free" | "use-after-poison" => 416,
        "stack-use-after-return" => 562,
        "stack-use-after-scope" | "dangling-pointer" => 825,
        "double-free" | "heap-corruption" => 415,
        "bad-free" => 590,
        "alloc-dealloc-mismatch" | "new-delete-type-mismatch" => 762,
        "use-of-uninitialized-value" => 908,
        "data-race" | "data-race-vptr" => 362,
        "lock-order-inversion" | "deadlock" => 833,
        "memory-leak" => 401,
        "stack-overflow" => 674,
        "timeout" => 834,
        "out-of-memory" | "rss-limit-exceeded" | "allocation-size-too-big" => 789,
        "signed-integer-overflow" | "unsigned-integer-overflow" | "negation-overflow" => 190,
        "division-by-zero" | "fpe" => 369,
        "invalid-shift" => 1335,
        "bad-cast" | "cfi-bad-cast" => 843,
        "assertion" | "check-failed" | "kernel-bug" => 617,
        "null-dereference" => 476,
        "index-out-of-bounds" => 129,
        "segv" | "bus" | "unknown-crash" => match report.cause.as_deref() {
            Some("null-dereference") => 476,
            _ => 119,
        },
        "out-of-bounds-pointer" => 823,
        "aliasing-violation" | "undefined-behavior" => 758,
        "security-issue" => match report.cause.as_deref() {
            Some("command-injection") => 78,
            Some("arbitrary-file-open") => 73,
            _ => 74,
        },
        "rust-panic" | "go-panic" | "zig-panic" | "swift-fatal-error" | "wasm-trap" => {
            match report.cause.as_deref() {
                Some("index-out-of-bounds" | "slice-out-of-bounds") => 129,
                Some("arithmetic-overflow") => 190,
                Some("division-by-zero") => 369,
                Some("assertion" | "unreachable") => 617,
                Some("null-dereference") => 476,
                _ => 248,
            }
        }
        "java-exception" | "python-exception" | "js-exception" | "csharp-exception" | "ruby-exception"
        | "php-error" | "lua-error" | "uncaught-exception" => 248,
        _ => return None,
    })
}
