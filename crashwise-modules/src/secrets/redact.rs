//! Lines without the secrets in them.

use std::ops::Range;

use super::places::bounds;
use super::scanner::SecretMatch;
use crate::prefilter::{Case, Prefilter};

/// The longest snippet in characters, and the longest that is kept until the secrets of all files are known.
const MAX_SNIPPET: usize = 240;
const MAX_KEPT: usize = 600;
/// How much of a line is looked at on each side of a match, in bytes.
const REACH: usize = 1024;
/// Stands for a secret.
const REDACTED: &str = "[redacted]";
/// The shortest piece that is looked for.
const LEAST_PIECE: usize = 4;
/// The longest piece that is looked for: longer secrets are looked for in pieces.
const MAX_PIECE: usize = 256;

/// Takes every secret of a text out of lines of that text, wherever else in it the secret stands.
#[derive(Debug)]
pub(super) struct Redaction<'b> {
    bytes: &'b [u8],
    /// Where secrets are, in order and apart from each other.
    spans: Vec<Range<usize>>,
    pieces: Prefilter,
}

impl<'b> Redaction<'b> {
    pub(super) fn new(bytes: &'b [u8], all: &[SecretMatch]) -> Self {
        let written = all.iter().map(|one| &bytes[one.span.clone()]);
        let meant = all.iter().map(|one| one.secret.reveal());
        let spans = all.iter().map(|one| one.span.clone()).collect();
        Self { bytes, spans, pieces: pieces(written.chain(meant)) }
    }

    /// The line of a match with every secret in it replaced, cut to a readable length.
    pub(super) fn snippet(&self, span: &Range<usize>) -> String {
        // A secret that the outer edge cuts in two is inside of the margin, which is not shown.
        let (start, end) = bounds(self.bytes, span, REACH + MAX_PIECE);
        let from = if span.start - start > REACH { start + MAX_PIECE } else { start };
        let to = if end.saturating_sub(span.end) > REACH { end - MAX_PIECE } else { end };
        let first = self.spans.partition_point(|one| one.end <= start);
        let spans = self.spans[first..].iter().take_while(|one| one.start < end);
        let mut hidden: Vec<Range<usize>> =
            spans.map(|one| one.start.max(start) - start..one.end - start).collect();
        find(&self.pieces, &self.bytes[start..end], &mut hidden);
        let text = without(&self.bytes[start..end], from - start..to - start, hidden);
        cut(&readable(&text), MAX_KEPT)
    }
}

/// Takes the secrets of all files out of snippets.
#[derive(Debug)]
pub(super) struct RedactionOfAll(Prefilter);

impl RedactionOfAll {
    pub(super) fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        Self(pieces(secrets))
    }

    pub(super) fn apply(&self, snippet: &str) -> String {
        cut(&self.text(snippet), MAX_SNIPPET)
    }

    /// The whole of a text.
    pub(super) fn text(&self, text: &str) -> String {
        let mut hidden = Vec::new();
        find(&self.0, text.as_bytes(), &mut hidden);
        readable(&without(text.as_bytes(), 0..text.len(), hidden))
    }
}

/// What is looked for of secrets. One of several lines is in none of them as a whole.
fn pieces<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Prefilter {
    let mut pieces: Vec<&[u8]> = secrets
        .flat_map(|secret| secret.split(|&byte| byte == b'\n'))
        .flat_map(|line| line.chunks(MAX_PIECE))
        .filter(|piece| piece.len() >= LEAST_PIECE)
        .collect();
    pieces.sort_unstable();
    pieces.dedup();
    let mut builder = Prefilter::builder();
    for piece in pieces {
        // Its length is within the bounds of a literal.
        let _ = builder.add(piece, Case::Sensitive);
    }
    builder.build()
}

fn find(pieces: &Prefilter, text: &[u8], hidden: &mut Vec<Range<usize>>) {
    pieces.scan(text, |hit| {
        let len = pieces.literal(hit.literal).map_or(0, |(piece, _)| piece.len());
        hidden.push(hit.start..hit.start + len);
    });
}

/// A part of a text with NUL in place of each stretch that is hidden.
fn without(bytes: &[u8], part: Range<usize>, mut hidden: Vec<Range<usize>>) -> Vec<u8> {
    let (from, to) = (part.start, part.end);
    hidden.sort_unstable_by_key(|one| (one.start, one.end));
    let mut text = Vec::new();
    let mut at = from;
    for one in hidden {
        if one.end <= at || one.start >= to {
            continue;
        }
        if one.start > at || text.is_empty() {
            text.extend_from_slice(&bytes[at..one.start.max(at)]);
            text.push(0);
        } else if text.last() != Some(&0) {
            text.push(0);
        }
        at = one.end;
    }
    if at < to {
        text.extend_from_slice(&bytes[at..to]);
    }
    text
}

fn readable(text: &[u8]) -> String {
    // Control characters would be read as commands by a terminal.
    let text: String = String::from_utf8_lossy(text)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\0' | '\t'))
        .collect();
    text.trim().replace('\0', REDACTED)
}

/// The part around what was taken out first.
fn cut(text: &str, len: usize) -> String {
    let around = text.find(REDACTED).map_or(0, |at| text[..at].chars().count().saturating_sub(len / 2));
    text.chars().skip(around).take(len).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::{ScanOptions, SecretScanner};

    #[test]
    fn no_copy_of_a_secret_is_left_in_a_line() {
        let scanner = SecretScanner::new(ScanOptions::new());
        let secret = "q8Xn!41kz";
        for text in [
            format!("password = '{secret}' # {secret}{secret}"),
            format!("{secret} password = '{secret}'"),
            format!("{}password = '{secret}' {}", secret.repeat(500), secret.repeat(500)),
            format!("password = '{secret}'; password = '{secret}'; x = {secret}"),
        ] {
            let all = scanner.scan_bytes("a.txt", text.as_bytes());
            assert!(!all.is_empty(), "{text}");
            let redaction = Redaction::new(text.as_bytes(), &all);
            for one in &all {
                let snippet = redaction.snippet(&one.span);
                for len in 4..=secret.len() {
                    assert!(!snippet.contains(&secret[..len]), "{snippet}");
                    assert!(!snippet.contains(&secret[secret.len() - len..]), "{snippet}");
                }
                assert!(snippet.contains("[redacted]"), "{snippet}");
            }
        }
    }
}
