//! Reading findings back, one JSON object a line.

use super::MAX_LINE;
use crate::Finding;
use std::collections::BTreeSet;
use std::io::{self, BufRead, ErrorKind, Read};

/// Reads findings, one JSON object a line.
///
/// A line that is not a finding, is over 16 MiB, or does not end is an error with its number; after an error the
/// iterator ends.
///
/// ```
/// use crashwise_core::FindingLines;
/// let text = "{\"rule_id\":\"demo/eval\",\"title\":\"eval\",\"severity\":\"high\"}\n";
/// let findings: Vec<_> = FindingLines::new(text.as_bytes()).collect::<Result<_, _>>().unwrap();
/// assert_eq!(findings[0].title, "eval");
/// assert!(FindingLines::new(&text.as_bytes()[..20]).next().unwrap().is_err());
/// ```
#[derive(Debug)]
pub struct FindingLines<R> {
    reader: R,
    line: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<R: BufRead> FindingLines<R> {
    /// Reads from the start of `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), number: 0, ended: false }
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    fn read(&mut self) -> io::Result<Option<Finding>> {
        self.line.clear();
        self.number += 1;
        self.reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.line)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        if self.line.pop() != Some(b'\n') {
            let problem = if self.line.len() >= MAX_LINE { "is longer than 16 MiB" } else { "is cut short" };
            return Err(invalid(format!("line {} of the findings {problem}", self.number)));
        }
        match serde_json::from_slice(&self.line) {
            Ok(finding) => Ok(Some(finding)),
            Err(error) => {
                Err(invalid(format!("line {} of the findings is not a finding: {error}", self.number)))
            }
        }
    }
}

/// The rules of findings as [`crate::FindingSpool`] writes them, at the cost of reading: of each line only its start is
/// looked at. `None` when there are more than `limit` of them.
///
/// # Errors
///
/// When the findings cannot be read, or are no findings.
pub fn rules_of(mut reader: impl BufRead, limit: usize) -> io::Result<Option<BTreeSet<String>>> {
    const START: &[u8] = br#"{"rule_id":""#;
    let mut rules = BTreeSet::new();
    let mut last = String::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(Some(rules));
        }
        let name = line.strip_prefix(START).and_then(|rest| rest.split(|byte| *byte == b'"').next());
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|_| line.ends_with(b"}\n"));
        let Some(name) = name else {
            return Err(invalid("a line of the findings is not a finding".to_owned()));
        };
        if name != last {
            name.clone_into(&mut last);
            rules.insert(last.clone());
            if rules.len() > limit {
                return Ok(None);
            }
        }
    }
}

impl<R: BufRead> Iterator for FindingLines<R> {
    type Item = io::Result<Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, text)
}
