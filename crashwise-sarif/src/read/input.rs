//! The bytes of a log, with budgets.

use super::ReadError;
use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

/// How many bytes the value that is being kept may still take.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    left: Rc<Cell<u64>>,
    exceeded: Rc<Cell<bool>>,
}

impl Budget {
    /// Bytes from here on are dropped as they come: no limit.
    pub(super) fn lift(&self) {
        self.left.set(u64::MAX);
    }

    pub(super) fn set(&self, bytes: u64) {
        self.left.set(bytes);
    }

    pub(super) fn left(&self) -> u64 {
        self.left.get()
    }

    /// Whether it was the budget that ended the reading.
    pub(super) fn was_exceeded(&self) -> bool {
        self.exceeded.get()
    }
}

/// A log's bytes: a byte order mark is skipped, reading past a limit fails.
#[derive(Debug)]
pub(super) struct Bounded<R> {
    reader: BufReader<R>,
    total: u64,
    limit: u64,
    budget: Budget,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(reader: R, limit: u64) -> Result<Self, ReadError> {
        let mut reader = BufReader::with_capacity(64 << 10, reader);
        let start = reader.fill_buf()?;
        if start.starts_with(b"\xEF\xBB\xBF") {
            reader.consume(3);
        } else if start.starts_with(b"\xFE\xFF") || start.starts_with(b"\xFF\xFE") {
            let problem = "it is UTF-16; expected UTF-8".to_owned();
            return Err(ReadError::Malformed { line: 1, column: 0, problem });
        }
        let budget = Budget { left: Rc::new(Cell::new(u64::MAX)), exceeded: Rc::default() };
        Ok(Self { reader, total: 0, limit, budget })
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget.clone()
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.total += read as u64;
        let left = self.budget.left.get();
        if self.total > self.limit || left < read as u64 {
            self.budget.exceeded.set(self.total <= self.limit);
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        if left != u64::MAX {
            self.budget.left.set(left - read as u64);
        }
        Ok(read)
    }
}

/// Turns the parser's error into ours; `what` is the thing that had a budget of `limit`.
pub(super) fn error(
    error: serde_json::Error,
    budget: &Budget,
    (what, limit): (&'static str, u64),
    max_bytes: u64,
) -> ReadError {
    if !error.is_io() {
        return ReadError::from_json(&error);
    }
    let error = io::Error::from(error);
    if error.kind() != io::ErrorKind::FileTooLarge {
        ReadError::Io(error)
    } else if budget.was_exceeded() {
        ReadError::TooLarge { what, limit }
    } else {
        ReadError::TooLarge { what: "the log", limit: max_bytes }
    }
}
