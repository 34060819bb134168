//! A table for terminals and logs.

use super::digest::{
    Digest, Group, baseline_sentence, coverage_sentence, each_of, gap_lines, heading, place,
};
use super::text;
use crate::{BaselineState, Report, RunStatus};
use crashwise_core::{CoverageStatus, Finding, Severity};
use std::io::{self, BufWriter, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How a table looks.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct TableOptions {
    /// Columns of the terminal; none cuts nothing.
    pub width: Option<usize>,
    /// Colours by ANSI escapes.
    pub color: bool,
    /// How many findings of a severity are shown; none shows all.
    pub limit: Option<u64>,
}

impl TableOptions {
    /// Nothing is cut, no colours, all findings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the columns of the terminal.
    #[must_use]
    pub fn with_width(mut self, columns: usize) -> Self {
        self.width = Some(columns);
        self
    }

    /// Sets whether there are colours.
    #[must_use]
    pub fn with_color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    /// Sets how many findings of a severity are shown.
    #[must_use]
    pub fn with_limit(mut self, findings: u64) -> Self {
        self.limit = Some(findings);
        self
    }
}

/// Writes the findings as a table grouped by severity, the worst first, then the totals and what was not covered.
///
/// Suppressed findings are counted, not shown. With a comparison, `+` marks new findings and `~` updated ones.
///
/// ```
/// use crashwise_core::{Finding, Location, Position, RelPath, RuleId, Severity};
/// use crashwise_sarif::{Report, Tool, report};
/// let place = Location::new(RelPath::new("app.py").unwrap()).with_start(Position::new(3, 5).unwrap());
/// let finding = Finding::new(RuleId::new("demo/eval").unwrap(), "eval of user input", Severity::High).with_location(place);
/// let input = Report::new(Tool::new("crashwise", "0.1.0"), "demo").with_findings(vec![finding]);
/// let mut out = Vec::new();
/// report::table(&input, &report::TableOptions::new(), &mut out).unwrap();
/// let expect = "demo\n\nHIGH (1)\n  app.py:3:5  demo/eval  eval of user input\n\n1 finding: 1 high\ncoverage complete\n";
/// assert_eq!(String::from_utf8(out).unwrap(), expect);
/// ```
pub fn table(report: &Report, options: &TableOptions, out: &mut dyn Write) -> io::Result<()> {
    let digest = Digest::of(report)?;
    let mut out = BufWriter::new(out);
    let ink = Ink { on: options.color };
    writeln!(out, "{}", ink.paint(BOLD, &heading(report)))?;
    let layout = Layout::new(&digest, options.width, report.comparison.is_some());
    for group in Group::all().filter(|group| *group != Group::Suppressed && digest.count(*group) > 0) {
        let count = digest.count(group);
        let title = format!("{} ({count})", group.name().to_uppercase());
        writeln!(out, "\n{}", ink.paint(group_code(group), &title))?;
        let mut left = options.limit.unwrap_or(u64::MAX);
        each_of(report, group, |finding, state| {
            if left > 0 {
                left -= 1;
                layout.row(&mut out, ink, finding, state)?;
            }
            Ok(())
        })?;
        if let Some(more) = options.limit.and_then(|limit| count.checked_sub(limit)).filter(|more| *more > 0)
        {
            writeln!(out, "  and {more} more")?;
        }
    }
    writeln!(out, "\n{}", ink.paint(BOLD, &digest.sentence()))?;
    if let Some(sentence) = baseline_sentence(report) {
        writeln!(out, "{sentence}")?;
    }
    if report.status != RunStatus::Completed {
        writeln!(out, "{}", ink.paint(RED, &format!("the run did not complete: {}", report.status)))?;
    }
    let code = if report.coverage.status == CoverageStatus::Complete { PLAIN } else { YELLOW };
    writeln!(out, "{}", ink.paint(code, &format!("coverage {}", coverage_sentence(&report.coverage))))?;
    for line in gap_lines(&report.coverage, 10) {
        writeln!(out, "  {}", cut(&line, options.width.map(|width| width.saturating_sub(2))))?;
    }
    out.flush()
}

/// The columns of a row: mark, place, rule, text.
struct Layout {
    place: usize,
    rule: usize,
    text: Option<usize>,
    marks: bool,
}

impl Layout {
    fn new(digest: &Digest, width: Option<usize>, marks: bool) -> Self {
        let margin = if marks { 4 } else { 2 };
        let (place, rule) = match width {
            Some(width) => (digest.place_width.min(width * 2 / 5), digest.rule_width.min(width / 4)),
            None => (digest.place_width, digest.rule_width),
        };
        let text = width.map(|width| width.saturating_sub(margin + place + rule + 4).max(20));
        Self { place, rule, text, marks }
    }

    fn row(
        &self,
        out: &mut impl Write,
        ink: Ink,
        finding: &Finding,
        state: Option<BaselineState>,
    ) -> io::Result<()> {
        let mark = match state {
            Some(BaselineState::New) => "+ ",
            Some(BaselineState::Updated) => "~ ",
            _ if self.marks => "  ",
            _ => "",
        };
        let mut place = place(finding);
        let mut pad = self.place.saturating_sub(place.width());
        write!(out, "  {mark}")?;
        if place.width() > self.place {
            // A place is never cut: it can be copied. What follows goes to the next line.
            writeln!(out, "{place}")?;
            write!(out, "  {}", " ".repeat(mark.len()))?;
            place.clear();
            pad = self.place;
        }
        let rule = cut(finding.rule_id.as_str(), Some(self.rule));
        let gap = " ".repeat(self.rule.saturating_sub(rule.width()));
        let words = cut(&text::one_line(finding.text()), self.text);
        writeln!(out, "{place}{}  {}{gap}  {words}", " ".repeat(pad), ink.paint(DIM, &rule))
    }
}

/// The start of a text that fits, with an ellipsis where something is missing.
fn cut(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| text.width() > *width) else { return text.to_owned() };
    let mut short = String::new();
    let mut left = width.saturating_sub(1);
    for letter in text.chars() {
        let wide = letter.width().unwrap_or(0);
        if wide > left {
            break;
        }
        left -= wide;
        short.push(letter);
    }
    short.push('…');
    short
}

const PLAIN: &str = "0";
const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";

fn group_code(group: Group) -> &'static str {
    match group {
        Group::Severity(Severity::Critical) => "1;97;41",
        Group::Severity(Severity::High) => "1;31",
        Group::Severity(Severity::Medium) => "1;33",
        Group::Severity(Severity::Low) => "1;36",
        Group::Severity(Severity::Info) | Group::Suppressed => "1;37",
    }
}

#[derive(Clone, Copy)]
struct Ink {
    on: bool,
}

impl Ink {
    fn paint(self, code: &str, text: &str) -> String {
        if self.on && code != PLAIN { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting_counts_columns() {
        for (text, width, expect) in [
            ("abc", Some(3), "abc"),
            ("abcd", Some(3), "ab…"),
            ("漢字漢", Some(5), "漢字…"),
            ("漢字漢", Some(4), "漢…"),
            ("ab", None, "ab"),
        ] {
            assert_eq!(cut(text, width), expect);
        }
    }
}
