//! Crashes that are one bug though their stacks differ: hangs and what takes too much memory, which are interrupted anywhere in
//! their loop, and overflows of the stack by the same nesting.

use std::collections::BTreeSet;

use super::triage::CrashReport;

/// Hangs and overflows of one session.
#[derive(Debug, Default)]
pub(super) struct Kin {
    /// Target, and functions from the entry to the loop.
    hangs: Vec<(String, Vec<String>)>,
    /// The same of those that take too much memory.
    hoards: Vec<(String, Vec<String>)>,
    /// Target, and functions that call each other.
    nestings: Vec<(String, BTreeSet<String>)>,
}

impl Kin {
    /// Whether an overflow of `target`, perhaps of a small stack only, is by a nesting that was seen.
    pub(super) fn nests(&self, target: &str, report: &CrashReport) -> bool {
        let cycle = report.recurring();
        report.kind == "stack-overflow"
            && self.nestings.iter().any(|(other, known)| {
                other == target && known.iter().any(|name| cycle.contains(name.as_str()))
            })
    }

    /// Whether a hang of `target` was seen.
    pub(super) fn hung(&self, target: &str) -> bool {
        self.hangs.iter().any(|(other, _)| other == target)
    }

    /// Whether a hang of `target` is on the way of one that was seen.
    pub(super) fn hangs(&self, target: &str, report: &CrashReport) -> bool {
        let path = report.path();
        report.kind == "timeout"
            && self.hangs.iter().any(|(other, known)| {
                other == target && !known.is_empty() && path.starts_with(&as_words(known))
            })
    }

    /// Whether a crash of `target` is one that was seen. `again` is what a hang's input did when it was run once more: what
    /// both stacks begin with leads to the loop.
    pub(super) fn is_known(
        &mut self,
        target: &str,
        report: &CrashReport,
        again: Option<&CrashReport>,
    ) -> bool {
        match report.kind.as_str() {
            "timeout" => is_same_loop(&mut self.hangs, target, report, again),
            "out-of-memory" => is_same_loop(&mut self.hoards, target, report, again),
            "stack-overflow" => {
                let cycle: BTreeSet<String> = report.recurring().into_iter().map(str::to_owned).collect();
                let same = |known: &BTreeSet<String>| !known.is_disjoint(&cycle);
                let known = self.nestings.iter().any(|(other, known)| other == target && same(known));
                self.nestings.push((target.to_owned(), cycle));
                known
            }
            _ => false,
        }
    }
}

/// Whether a loop of `target` is among those that are known; it is from now on.
fn is_same_loop(
    loops: &mut Vec<(String, Vec<String>)>,
    target: &str,
    report: &CrashReport,
    again: Option<&CrashReport>,
) -> bool {
    let path = report.path();
    let other = again.filter(|again| again.kind == report.kind).map(CrashReport::path);
    let both = match &other {
        Some(other) => path.iter().zip(other).take_while(|(a, b)| a == b).count(),
        None => path.len(),
    };
    let path: Vec<String> = path[..both].iter().map(|name| (*name).to_owned()).collect();
    // One without a stack says nothing about any other.
    let same = |known: &[String]| {
        known.is_empty() == path.is_empty() && (known.starts_with(&path) || path.starts_with(known))
    };
    let known = loops.iter().any(|(other, known)| other == target && same(known));
    loops.push((target.to_owned(), path));
    known
}

fn as_words(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::triage::{Scope, triage};
    use std::fmt::Write as _;

    fn report(head: &str, functions: &[&str]) -> CrashReport {
        let mut log = format!("{head}\n");
        for (n, function) in functions.iter().enumerate() {
            let _ = writeln!(log, "    #{n} 0x{n:x} in {function} src/a.c:{}:1", n + 1);
        }
        log.push('\n');
        triage(log.as_bytes(), &Scope::new()).expect("a report")
    }

    #[test]
    fn a_hang_is_known_by_the_way_to_its_loop() {
        let hang = |functions: &[&str]| report("==7== ERROR: libFuzzer: timeout after 10 seconds", functions);
        let mut kin = Kin::default();
        let (first, again) = (hang(&["next", "walk", "parse"]), hang(&["check", "walk", "parse"]));
        assert!(!kin.is_known("t", &first, Some(&again)));
        assert!(kin.hung("t") && !kin.hung("u"));
        assert!(kin.hangs("t", &hang(&["other", "walk", "parse"])) && !kin.hangs("t", &hang(&["parse"])));
        assert!(kin.is_known("t", &hang(&["walk", "parse"]), None));
        assert!(kin.is_known("t", &hang(&["other", "walk", "parse"]), None));
        assert!(!kin.is_known("t", &hang(&["spin", "render"]), None));
        assert!(!kin.is_known("u", &first, Some(&again)), "another target");
        let blind = hang(&[]);
        assert!(!kin.is_known("t", &blind, None) && kin.is_known("t", &blind, None));
        assert!(!kin.is_known("t", &hang(&["wait", "serve"]), None), "one without a stack hides no other");
    }

    #[test]
    fn what_takes_too_much_memory_is_known_by_the_way_to_its_loop() {
        let hoard = |functions: &[&str]| {
            report("==7== ERROR: libFuzzer: out-of-memory (used: 3Mb; limit: 2Mb)", functions)
        };
        let mut kin = Kin::default();
        let (first, again) = (hoard(&["push", "read", "parse"]), hoard(&["fill", "read", "parse"]));
        assert!(!kin.is_known("t", &first, Some(&again)));
        assert!(kin.is_known("t", &hoard(&["grow", "read", "parse"]), None));
        assert!(!kin.is_known("t", &hoard(&["push", "write", "render"]), None));
        let hang = report("==7== ERROR: libFuzzer: timeout after 10 seconds", &["push", "read", "parse"]);
        assert!(!kin.is_known("t", &hang, None), "a hang is another bug");
    }

    #[test]
    fn one_nesting_is_one_bug() {
        let head = "==7==ERROR: AddressSanitizer: stack-overflow on address 0x7 (pc 0x5 bp 0x7 sp 0x7 T0)";
        let of = |a: &str, b: &str| report(head, &[a, b, a, b, a, b, a, b]);
        let mut kin = Kin::default();
        assert!(!kin.nests("t", &of("value", "array")));
        assert!(!kin.is_known("t", &of("value", "array"), None));
        assert!(kin.nests("t", &of("array", "x")) && !kin.nests("u", &of("array", "x")));
        assert!(kin.is_known("t", &of("value", "object"), None), "they share a function");
        assert!(!kin.is_known("t", &of("group", "pattern"), None));
        let other = report("==7==ERROR: AddressSanitizer: SEGV on unknown address 0x0", &["value"]);
        assert!(!kin.is_known("t", &other, None));
    }
}
