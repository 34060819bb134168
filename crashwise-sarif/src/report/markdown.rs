//! Markdown for pull requests and wikis.

use super::digest::{
    Digest, Group, baseline_sentence, coverage_sentence, each_of, gap_lines, heading, place,
};
use super::text;
use crate::{Report, RunStatus};
use crashwise_core::{Finding, Location};
use std::io::{self, BufWriter, Write};

/// Writes the report as GitHub-flavoured Markdown: totals, coverage, then the findings by severity.
///
/// `limit` is how many findings of a severity are shown; none shows all. Suppressed findings are counted, not shown.
/// No text of the target becomes markup, a mention or a link.
pub fn markdown(report: &Report, limit: Option<u64>, out: &mut dyn Write) -> io::Result<()> {
    let digest = Digest::of(report)?;
    let mut out = BufWriter::new(out);
    writeln!(out, "# {}\n", plain(&heading(report)))?;
    writeln!(out, "**{}**\n", plain(&digest.sentence()))?;
    if let Some(sentence) = baseline_sentence(report) {
        writeln!(out, "{}\n", plain(&sentence))?;
    }
    if report.status != RunStatus::Completed {
        writeln!(out, "**The run did not complete: {}.**\n", plain(report.status.as_str()))?;
    }
    writeln!(out, "Coverage {}\n", plain(&coverage_sentence(&report.coverage)))?;
    for line in gap_lines(&report.coverage, 20) {
        writeln!(out, "- {}", plain(&line))?;
    }
    for group in Group::all().filter(|group| *group != Group::Suppressed && digest.count(*group) > 0) {
        let count = digest.count(group);
        let mut letters = group.name().chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter();
        writeln!(out, "\n## {}{} ({count})", first.collect::<String>(), letters.as_str())?;
        let mut left = limit.unwrap_or(u64::MAX);
        each_of(report, group, |finding, state| {
            if left > 0 {
                left -= 1;
                let state = state.map(|state| format!(" · {state}")).unwrap_or_default();
                entry(&mut out, finding, &state)?;
            }
            Ok(())
        })?;
        if let Some(more) = limit.and_then(|limit| count.checked_sub(limit)).filter(|more| *more > 0) {
            writeln!(out, "\nand {more} more")?;
        }
    }
    out.flush()
}

fn entry(out: &mut impl Write, finding: &Finding, state: &str) -> io::Result<()> {
    writeln!(out, "\n### {}\n", plain(&finding.title))?;
    let rule = code(finding.rule_id.as_str());
    write!(out, "{} · {rule} · confidence {}{state}", code(&place(finding)), finding.confidence)?;
    for cwe in &finding.cwe {
        write!(out, " · [CWE-{cwe}](https://cwe.mitre.org/data/definitions/{cwe}.html)")?;
    }
    writeln!(out)?;
    if !finding.message.is_empty() {
        writeln!(out, "\n{}", plain(&finding.message))?;
    }
    if let Some(snippet) = finding.primary().and_then(|place| place.snippet.as_deref()) {
        block(out, snippet)?;
    }
    steps(out, "Flow", &finding.code_flow)?;
    steps(out, "Related", &finding.related)?;
    if !finding.recommendation.is_empty() {
        writeln!(out, "\n**Fix:** {}", plain(&finding.recommendation))?;
    }
    for page in &finding.references {
        if text::is_link(page) && !page.contains(['<', '>']) {
            writeln!(out, "\n<{page}>")?;
        } else {
            writeln!(out, "\n{}", plain(page))?;
        }
    }
    Ok(())
}

fn steps(out: &mut impl Write, name: &str, places: &[Location]) -> io::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{name}:\n")?;
    for (number, place) in (1..).zip(places) {
        let message =
            place.message.as_deref().map(|message| format!(": {}", plain(message))).unwrap_or_default();
        writeln!(out, "{number}. {}{message}", code(&place.to_string()))?;
    }
    Ok(())
}

/// One line of text without markup.
fn plain(words: &str) -> String {
    let line = text::one_line(words);
    let mut safe = String::with_capacity(line.len() + 8);
    for letter in line.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // A mention or an issue number is made by the forge, not by Markdown: a reference to a character ends it.
            '@' => safe.push_str("&#64;"),
            '#' => safe.push_str("&#35;"),
            ':' => safe.push_str("&#58;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '+' | '-' | '!' | '|' | '~'
            | '=' => {
                safe.push('\\');
                safe.push(letter);
            }
            letter => safe.push(letter),
        }
    }
    // `1.` begins a list.
    let digits = safe.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(safe.len());
    if digits > 0 && safe[digits..].starts_with('.') {
        safe.insert(digits, '\\');
    }
    safe
}

/// A code span whose fence is longer than any in the text.
fn code(words: &str) -> String {
    let line = text::one_line(words);
    let fence = "`".repeat(longest_ticks(&line) + 1);
    if fence.len() == 1 { format!("`{line}`") } else { format!("{fence} {line} {fence}") }
}

fn block(out: &mut impl Write, snippet: &str) -> io::Result<()> {
    let shown = text::visible(snippet);
    let fence = "`".repeat(longest_ticks(&shown).max(2) + 1);
    writeln!(out, "\n{fence}text\n{}\n{fence}", shown.trim_end_matches('\n'))
}

fn longest_ticks(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        for (words, expect) in [
            ("a *b* <c>", "a \\*b\\* &lt;c&gt;"),
            ("@team #12 https://x", "&#64;team &#35;12 https&#58;//x"),
            ("1. x", "1\\. x"),
            ("[x](y)\n# z", "\\[x\\]\\(y\\) &#35; z"),
        ] {
            assert_eq!(plain(words), expect);
        }
        assert_eq!(code("a`b``c"), "``` a`b``c ```");
        assert_eq!(code("a"), "`a`");
        let mut out = Vec::new();
        block(&mut out, "x\n```\n# y\n").unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\n````text\nx\n```\n# y\n````\n");
    }
}
