//! Several sorted streams of findings as one.

use super::key::Key;
use super::lines::{FindingLines, invalid};
use crate::Finding;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::io::{self, BufRead};

/// Joins findings that are sorted each, e.g. those of a run's steps, into one sorted stream without duplicates.
///
/// It holds one finding per reader. An input that is broken or not sorted is an error, after which the stream ends.
///
/// ```
/// use crashwise_core::merge_findings;
/// let steps = ["{\"rule_id\":\"b\",\"title\":\"b\",\"severity\":\"low\"}\n", "{\"rule_id\":\"a\",\"title\":\"a\",\"severity\":\"low\"}\n"];
/// let merged = merge_findings(steps.map(str::as_bytes)).collect::<Result<Vec<_>, _>>().unwrap();
/// assert_eq!(merged[0].title, "a");
/// ```
pub fn merge_findings<R: BufRead>(readers: impl IntoIterator<Item = R>) -> MergedFindings<R> {
    let sources = readers.into_iter().enumerate().map(|(at, reader)| SortedLines {
        input: at + 1,
        lines: FindingLines::new(reader),
        last: None,
    });
    MergedFindings { merged: Merged::new(sources.collect()) }
}

/// What [`merge_findings`] returns.
#[derive(Debug)]
pub struct MergedFindings<R: BufRead> {
    merged: Merged<SortedLines<R>, Finding>,
}

impl<R: BufRead> Iterator for MergedFindings<R> {
    type Item = io::Result<Finding>;

    fn next(&mut self) -> Option<Self::Item> {
        self.merged.next()
    }
}

#[derive(Debug)]
struct SortedLines<R> {
    input: usize,
    lines: FindingLines<R>,
    last: Option<Key>,
}

impl<R: BufRead> Iterator for SortedLines<R> {
    type Item = io::Result<(Key, Finding)>;

    fn next(&mut self) -> Option<Self::Item> {
        let finding = match self.lines.next()? {
            Ok(finding) => finding,
            Err(error) => {
                return Some(Err(io::Error::new(error.kind(), format!("input {}: {error}", self.input))));
            }
        };
        let key = Key::of(&finding);
        if self.last.as_ref().is_some_and(|last| *last > key && !last.same_finding(&key)) {
            let text =
                format!("input {}: line {} of the findings is out of order", self.input, self.lines.number());
            return Some(Err(invalid(text)));
        }
        self.last = Some(key.clone());
        Some(Ok((key, finding)))
    }
}

/// Decides between items with the same key.
pub(super) trait Tie {
    fn tie(&self, other: &Self) -> Ordering;
}

impl Tie for Finding {
    /// The source decides.
    fn tie(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

/// A merge of sorted sources that keeps the first of equal findings.
#[derive(Debug)]
pub(super) struct Merged<S, T> {
    sources: Vec<S>,
    heads: BinaryHeap<Head<T>>,
    last: Option<Key>,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Fresh,
    Running,
    Ended,
}

#[derive(Debug)]
struct Head<T> {
    key: Key,
    source: usize,
    item: T,
}

impl<T: Tie, S: Iterator<Item = io::Result<(Key, T)>>> Merged<S, T> {
    pub(super) fn new(sources: Vec<S>) -> Self {
        Self { heads: BinaryHeap::with_capacity(sources.len()), sources, last: None, state: State::Fresh }
    }

    fn advance(&mut self, source: usize) -> io::Result<()> {
        if let Some(next) = self.sources[source].next() {
            let (key, item) = next?;
            self.heads.push(Head { key, source, item });
        }
        Ok(())
    }

    fn step(&mut self) -> io::Result<Option<T>> {
        if self.state == State::Fresh {
            self.state = State::Running;
            for source in 0..self.sources.len() {
                self.advance(source)?;
            }
        }
        while let Some(head) = self.heads.pop() {
            self.advance(head.source)?;
            if self.last.as_ref().is_none_or(|last| !last.same_finding(&head.key)) {
                self.last = Some(head.key);
                return Ok(Some(head.item));
            }
        }
        Ok(None)
    }
}

impl<T: Tie, S: Iterator<Item = io::Result<(Key, T)>>> Iterator for Merged<S, T> {
    type Item = io::Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Ended {
            return None;
        }
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            self.state = State::Ended;
        }
        item
    }
}

impl<T: Tie> Ord for Head<T> {
    /// The smallest key is the greatest head: the heap yields it first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then_with(|| other.item.tie(&self.item)).then(other.source.cmp(&self.source))
    }
}

impl<T: Tie> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Tie> PartialEq for Head<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Tie> Eq for Head<T> {}
