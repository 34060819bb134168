//! From a crash to a finding.

use std::collections::BTreeMap;

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
    let report = &resolved(report, workspace, bases);
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

/// The report with frames in files of the workspace named as the workspace does: of a program that was built elsewhere a title would
/// differ from one machine to the next.
fn resolved(report: &CrashReport, workspace: &Workspace, bases: &[&str]) -> CrashReport {
    let mut known: BTreeMap<String, Option<RelPath>> = BTreeMap::new();
    let mut report = report.clone();
    for file in report.frames.iter_mut().filter_map(|frame| frame.file.as_mut()) {
        if let Some(path) = of_crate(file) {
            *file = path.to_owned();
        }
    }
    // The end of a library's path may be that of a file here by chance.
    let own = report.frames.iter_mut().filter(|frame| frame.role == Role::Project);
    for file in own.filter_map(|frame| frame.file.as_mut()) {
        let path = known.entry(file.clone()).or_insert_with(|| path(file, workspace, bases));
        if let Some(path) = path {
            *file = path.as_str().to_owned();
        }
    }
    report
}

/// A file of a fetched crate as it is named on every machine: `ron-0.6.4/src/de.rs`.
fn of_crate(file: &str) -> Option<&str> {
    ["/registry/src/", "/git/checkouts/"].into_iter().find_map(|folder| {
        let (_, below) = file.split_once(folder)?;
        Some(below.split_once('/')?.1).filter(|path| path.contains('/'))
    })
}

/// A file of a stack as a file of the workspace.
fn path(file: &str, workspace: &Workspace, bases: &[&str]) -> Option<RelPath> {
    let there = |path: String| RelPath::new(path).ok().filter(|path| workspace.path(path).is_file());
    let below =
        |base: &&str| if base.is_empty() { there(file.to_owned()) } else { there(format!("{base}/{file}")) };
    // Built elsewhere: the longest end of the path that is a file here.
    let elsewhere = || file.match_indices('/').find_map(|(at, _)| there(file[at + 1..].to_owned()));
    bases.iter().find_map(below).or_else(elsewhere)
}

fn location(frame: &Frame, workspace: &Workspace, bases: &[&str]) -> Option<Location> {
    let path = path(frame.file.as_deref()?, workspace, bases)?;
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

#[cfg(test)]
mod tests {
    use std::fs;

    use crashwise_core::Workspace;

    use super::{of, of_crate};
    use crate::fuzzing::triage::{Scope, triage};

    #[test]
    fn files_of_crates_are_named_alike_on_every_machine() {
        for (file, expect) in [
            (
                "/root/.cargo/registry/src/index.example.org-19/ron-0.6.4/src/de.rs",
                Some("ron-0.6.4/src/de.rs"),
            ),
            ("/h/.cargo/git/checkouts/demo-0a1b/7c2/src/lib.rs", Some("7c2/src/lib.rs")),
            ("/home/u/registry/src/lib.rs", None),
            ("src/lib.rs", None),
        ] {
            assert_eq!(of_crate(file), expect, "{file}");
        }
    }

    #[test]
    fn a_program_that_was_built_elsewhere_has_the_same_titles() {
        let tree = tempfile::tempdir().expect("a folder");
        fs::create_dir(tree.path().join("src")).expect("a folder");
        fs::write(tree.path().join("src/a.c"), "int x;\n").expect("written");
        let workspace = Workspace::in_place(tree.path());
        let told = ["/home/u/demo", "/builds/7"].map(|root| {
            let log = format!(
                "==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x602 at pc 0x5 bp 0x7 sp 0x7\n\
                 READ of size 1 at 0x602 thread T0\n    #0 0x1 in parse {root}/src/a.c:3:5\n    \
                 #1 0x2 in load {root}/gone/b.c:9:1\n"
            );
            let report = triage(log.as_bytes(), &Scope::new()).expect("a report");
            let finding = of(&report, &workspace, &[""], None).expect("a finding");
            (finding.title, finding.evidence["stack"][0].clone())
        });
        assert_eq!(told[0].0, "heap-buffer-overflow (read of 1 byte) in parse at src/a.c:3:5");
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0].1, "parse at src/a.c:3:5");
    }
}
