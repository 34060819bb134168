//! Here-documents of PHP and Ruby.

use super::TokenKind;
use super::literals::names_variables;
use super::scan::Scanner;
use crate::source::Language;

/// A here-document whose body begins on the next line.
#[derive(Debug, Clone)]
pub(super) struct Heredoc {
    word: Vec<u8>,
    raw: bool,
}

/// How many here-documents may begin on one line.
const MAX_ON_A_LINE: usize = 16;

/// A `<` in code.
pub(super) fn begin(scan: &mut Scanner<'_>) {
    let marks: &[u8] = if scan.language == Language::Php { b"<<<" } else { b"<<" };
    let rest = &scan.text[scan.at..];
    let Some(mut after) = rest.strip_prefix(marks) else {
        scan.at += 1;
        return;
    };
    let mut tilde = false;
    if scan.language == Language::Ruby {
        if let [b'~' | b'-', more @ ..] = after {
            after = more;
            tilde = true;
        }
    } else {
        after = after.trim_ascii_start();
    }
    let quote = after.first().copied().filter(|b| matches!(b, b'\'' | b'"'));
    let name = &after[usize::from(quote.is_some())..];
    let length = name.iter().take(64).take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    let word = &name[..length];
    // `array << VALUE` and `class << self` are no here-documents.
    let named = word.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_');
    let sure = scan.language == Language::Php
        || quote.is_some()
        || tilde
        || (word.first().is_some_and(u8::is_ascii_uppercase) && word.iter().all(|b| !b.is_ascii_lowercase()));
    if !named || !sure || scan.heredocs.len() >= MAX_ON_A_LINE {
        scan.at += marks.len();
        return;
    }
    let heredoc = Heredoc { word: word.to_vec(), raw: quote == Some(b'\'') };
    let consumed = rest.len() - name.len() + length + usize::from(quote.is_some());
    scan.at += consumed;
    scan.heredocs.push(heredoc);
    if scan.language == Language::Php {
        // Nothing else may stand on the line.
        scan.at = memchr::memchr(b'\n', &scan.text[scan.at.min(scan.text.len())..])
            .map_or(scan.text.len(), |n| scan.at + n);
        bodies(scan);
    }
}

/// A line end: the bodies of the here-documents that began on the line follow.
pub(super) fn bodies(scan: &mut Scanner<'_>) {
    if scan.at < scan.text.len() {
        scan.at += 1;
    }
    for heredoc in std::mem::take(&mut scan.heredocs) {
        let start = scan.at;
        let mut line = start;
        let mut end = scan.text.len();
        while line < scan.text.len() {
            let next = memchr::memchr(b'\n', &scan.text[line..]).map_or(scan.text.len(), |n| line + n + 1);
            let text = scan.text[line..next].trim_ascii();
            if let Some(behind) = text.strip_prefix(heredoc.word.as_slice())
                && !behind.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
                && (scan.language == Language::Php || behind.is_empty())
            {
                end = line;
                break;
            }
            line = next;
        }
        let body = &scan.text[start..end];
        let code = match scan.language {
            Language::Php => names_variables(body),
            _ => memchr::memmem::find(body, b"#{").is_some(),
        };
        let kind = if code && !heredoc.raw { TokenKind::Interpolated } else { TokenKind::String };
        if end > start {
            scan.push(start, end, kind, (0, 0));
        }
        // The closing word is plain code.
        let word =
            memchr::memmem::find(&scan.text[end..], &heredoc.word).map_or(0, |n| n + heredoc.word.len());
        scan.at = end + word;
    }
}
