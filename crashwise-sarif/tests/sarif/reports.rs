use crate::sample::{findings, path, region, report};
use crashwise_core::{Coverage, Finding, Gap, GapReason, Location, RuleId, Severity};
use crashwise_sarif::report::{TableOptions, csv, html, json, junit, markdown, table};
use crashwise_sarif::{Comparison, Report, RunStatus, Tool};
use serde_json::Value;
use std::io::{self, Write};

fn text(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Every report of an input.
fn all(report: &Report) -> Vec<(&'static str, String)> {
    vec![
        ("table", text(|out| table(report, &TableOptions::new().with_width(100), out))),
        ("markdown", text(|out| markdown(report, None, out))),
        ("html", text(|out| html(report, None, out))),
        ("json", text(|out| json(report, out))),
        ("csv", text(|out| csv(report, out))),
        ("junit", text(|out| junit(report, out))),
    ]
}

#[test]
fn a_table_on_a_terminal() {
    let shown = text(|out| table(&report(), &TableOptions::new().with_width(80), out));
    let expect = "\
security_assessment of sample

CRITICAL (1)
  src/größe 1.py:12:5  code/python/sql-inj…  the query holds `name`, which come…

MEDIUM (1)
  -                    fuzz/heap-overflow    Heap overflow

INFO (1)
  data.bin             files/large           Large file

3 findings: 1 critical, 1 medium, 1 info; 1 suppressed
coverage partial: 7 files looked at, 2 files excluded, 5 not covered
  afl-fuzz: tool missing
  src/broken.py: encoding (not UTF-8)
  and 3 more
";
    assert_eq!(shown, expect);
    assert!(shown.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn a_narrow_table_never_cuts_a_place() {
    let shown = text(|out| table(&report(), &TableOptions::new().with_width(40), out));
    assert!(shown.contains("\n  src/größe 1.py:12:5\n"), "{shown}");
}

#[test]
fn colours_only_when_asked() {
    let plain = text(|out| table(&report(), &TableOptions::new(), out));
    let coloured = text(|out| table(&report(), &TableOptions::new().with_color(true), out));
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[1;97;41mCRITICAL (1)\x1b[0m"));
    let mut bare = coloured;
    while let Some(start) = bare.find('\x1b') {
        let end = start + bare[start..].find('m').unwrap();
        bare.replace_range(start..=end, "");
    }
    assert_eq!(bare, plain);
}

#[test]
fn nothing_found_is_said_with_what_it_is_worth() {
    let empty = || Report::new(Tool::new("crashwise", "0.1.0"), "w");
    let mut partial = Coverage::new();
    partial.push(Gap::new("a", GapReason::ToolMissing, "no tool"));
    let failed = Coverage::failed(Gap::new("a", GapReason::ToolMissing, "no tool"));
    for (report, expect) in [
        (empty(), "no findings"),
        (empty().with_coverage(partial.clone()), "no findings in what was looked at"),
        (empty().with_coverage(partial).with_status(RunStatus::Failed), "no findings before the run ended"),
        (empty().with_coverage(failed).with_status(RunStatus::Failed), "nothing was looked at"),
    ] {
        let shown = text(|out| table(&report, &TableOptions::new(), out));
        assert_eq!(shown.lines().find(|line| line.starts_with("no")), Some(expect), "{shown}");
        assert!(text(|out| markdown(&report, None, out)).contains(&format!("**{expect}**")));
        assert!(text(|out| html(&report, None, out)).contains(&format!("{expect}<")));
    }
}

#[test]
fn limits_say_what_is_missing() {
    let many: Vec<Finding> =
        (0..5).map(|n| Finding::new(RuleId::new(format!("r{n}")).unwrap(), "t", Severity::Low)).collect();
    let report = Report::new(Tool::new("crashwise", "0.1.0"), "w").with_findings(many);
    for shown in [
        text(|out| table(&report, &TableOptions::new().with_limit(2), out)),
        text(|out| markdown(&report, Some(2), out)),
        text(|out| html(&report, Some(2), out)),
    ] {
        assert!(shown.contains("and 3 more") && shown.contains("r1") && !shown.contains("r2"), "{shown}");
    }
}

#[test]
fn a_baseline_is_shown() {
    let mut now = findings();
    now[1].locations[0].path = path("other.bin");
    let comparison = Comparison::new(findings(), &now).unwrap();
    let report = report().with_findings(now).with_comparison(comparison);
    let shown = text(|out| table(&report, &TableOptions::new(), out));
    assert!(shown.contains("\n  + other.bin"), "{shown}");
    assert!(shown.contains("1 new, 0 updated, 2 unchanged, 1 absent since the baseline"));
    let document: Value = serde_json::from_str(&text(|out| json(&report, out))).unwrap();
    assert_eq!(document["findings"][1]["baseline_state"], "new");
    assert_eq!(document["baseline"]["absent"]["info"], 1);
}

#[test]
fn json_holds_the_findings_as_they_are() {
    let document: Value = serde_json::from_str(&text(|out| json(&report(), out))).unwrap();
    assert_eq!(document["schema"], "crashwise/report/1");
    assert_eq!((&document["run_id"], &document["exit_code"]), (&"run-00000001".into(), &2.into()));
    assert_eq!(document["coverage"]["status"], "partial");
    assert_eq!(document["counts"]["critical"], 1);
    let back: Vec<Finding> = serde_json::from_value(document["findings"].clone()).unwrap();
    assert_eq!(back, findings());
}

#[test]
fn csv_has_one_record_for_each_finding() {
    let shown = text(|out| csv(&report(), out));
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines.len(), 5);
    let expect = "critical,high,code/python/sql-injection,SQL built from strings,\
                  \"the query holds `name`, which comes from the request\",src/größe 1.py,12,5,12,31,sql_injection,CWE-89,,false,";
    assert_eq!(lines[3], expect);
}

#[test]
fn junit_counts_add_up() {
    let shown = text(|out| junit(&report(), out));
    assert!(shown.contains("tests=\"7\" failures=\"3\" errors=\"3\" skipped=\"1\""), "{shown}");
    assert_eq!(shown.matches("<testcase ").count(), 7);
    assert_eq!((shown.matches("<failure ").count(), shown.matches("<error ").count()), (3, 3));
    let clean = text(|out| junit(&Report::new(Tool::new("crashwise", "0.1.0"), "w"), out));
    assert!(clean.contains("tests=\"1\" failures=\"0\" errors=\"0\""), "{clean}");
}

#[test]
fn nothing_that_was_missed_looks_clean() {
    let missed = || Gap::new("scan", GapReason::TimedOut, "");
    let new = || Report::new(Tool::new("crashwise", "0.1.0"), "w");
    let mut partial = Coverage::new();
    partial.push(missed());
    for report in [
        new().with_coverage(partial),
        new().with_coverage(Coverage::failed(missed())),
        new().with_status(RunStatus::TimedOut),
    ] {
        for (name, shown) in all(&report) {
            let told = ["timed out", "timed_out", "timed-out", "timed\\_out"]
                .iter()
                .any(|word| shown.contains(word));
            assert!(told || name == "csv", "{name}: {shown}");
        }
        assert!(!text(|out| html(&report, None, out)).contains("<p class=\"none\">No findings.</p>"));
    }
}

#[test]
fn text_of_the_target_steers_nothing() {
    let hostile = "<script>alert(1)</script>\"'&`</pre>\x1b[2J\u{202e}]]>\r\n# @x";
    let place = || {
        Location::new(path("a<b>\x1b.py"))
            .with_region(region((1, 1), (1, 2)))
            .with_snippet(hostile)
            .with_message(hostile)
    };
    let finding = Finding::new(RuleId::new("r").unwrap(), hostile, Severity::High)
        .with_message(hostile)
        .with_location(place())
        .with_related(place())
        .with_code_flow(vec![place()])
        .with_category(hostile)
        .with_recommendation(hostile)
        .with_reference("javascript:alert(1)")
        .with_reference(hostile)
        .with_evidence(hostile, hostile);
    let mut coverage = Coverage::new();
    coverage.push(Gap::new(hostile, GapReason::Malformed, hostile));
    let report = Report::new(Tool::new(hostile, hostile), hostile)
        .with_target(hostile)
        .with_coverage(coverage)
        .with_findings(vec![finding]);
    for (name, shown) in all(&report) {
        let control = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(name == "json" || !shown.contains(control), "{name}");
        if name == "html" || name == "junit" {
            assert!(!shown.contains("<script") && !shown.contains("href=\"javascript"), "{name}: {shown}");
        }
        if name == "markdown" {
            let outside: String = shown.split("```").step_by(2).collect();
            let spans: String = outside.split('`').step_by(2).collect();
            assert!(!spans.contains("<script"), "{shown}");
        }
    }
}

#[test]
fn the_page_needs_nothing_else() {
    let shown = text(|out| html(&report(), None, out));
    for word in ["<script", "<link", "<img", "@import", "url(", " src=", "onclick"] {
        assert!(!shown.contains(word), "{word}");
    }
    assert!(shown.contains("default-src 'none'"));
    for word in ["enters here", "cursor.execute(q + name)", "CWE-89", "not UTF-8", "a test&#39;s token"] {
        assert!(shown.contains(word), "{word}");
    }
    for (open, close) in
        [("<details", "</details>"), ("<section", "</section>"), ("<div", "</div>"), ("<ol", "</ol>")]
    {
        assert_eq!(shown.matches(open).count(), shown.matches(close).count(), "{open}");
    }
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    assert_eq!(all(&report()), all(&report()));
}
