//! Takes findings in any order from any thread and hands them out sorted.

use super::MAX_LINE;
use super::key::Key;
use super::lines::invalid;
use super::merge::{Merged, Tie};
use crate::{Finding, Severity, SeverityCounts};
use std::cell::RefCell;
use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};

/// Keeps the findings of one step or run: takes them from any thread, hands them out sorted and each once.
///
/// Memory stays bounded whatever the number of findings: beyond 8 MiB they go, sorted, to a temporary file without a
/// name, which the system removes when the process ends in whatever way. Small results touch no disk.
///
/// ```
/// use crashwise_core::{Finding, FindingSpool, RuleId, Severity};
/// let spool = FindingSpool::new(std::env::temp_dir());
/// for rule in ["b", "a", "b"] {
///     spool.push(Finding::new(RuleId::new(rule).unwrap(), "title", Severity::Low)).unwrap();
/// }
/// let mut lines = Vec::new();
/// assert_eq!(spool.finish(&mut lines).unwrap().low, 2);
/// assert!(lines.starts_with(br#"{"rule_id":"a""#));
/// ```
#[derive(Debug)]
pub struct FindingSpool {
    directory: PathBuf,
    memory: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: SeverityCounts,
    /// Keys and lines of the findings in memory, one after the other.
    text: Vec<u8>,
    entries: Vec<Entry>,
    file: Option<File>,
    runs: Vec<Run>,
    /// Why findings were lost, if they were.
    broken: Option<String>,
}

/// A finding in `State::text`: its key, then its line.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key: u32,
    identity: u32,
    line: u32,
}

/// A sorted part of the temporary file, as offsets.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

impl FindingSpool {
    /// How many bytes of findings stay in memory unless told otherwise.
    pub const MEMORY: usize = 8 << 20;

    /// An empty spool. `directory` takes the temporary file, should one be needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), memory: Self::MEMORY, state: Mutex::default() }
    }

    /// Sets how many bytes of findings stay in memory.
    #[must_use]
    pub fn with_memory(mut self, bytes: usize) -> Self {
        self.memory = bytes;
        self
    }

    /// Keeps a finding; gives it the default fingerprint when it has none.
    ///
    /// # Errors
    ///
    /// When the finding is over 16 MiB as JSON, or the temporary file cannot be made or written. After a failed
    /// write every later call fails too, [`FindingSpool::finish`] included: findings are missing.
    pub fn push(&self, mut finding: Finding) -> io::Result<()> {
        if finding.fingerprint.is_none() {
            finding.fingerprint = Some(finding.default_fingerprint());
        }
        let mut line = serde_json::to_vec(&finding)?;
        let key = Key::of(&finding);
        line.push(b'\n');
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        if line.len() > MAX_LINE {
            let text = format!("a finding of rule {} is longer than 16 MiB", finding.rule_id);
            state.broken = Some(text.clone());
            return Err(invalid(text));
        }
        if finding.suppressions.is_empty() {
            state.counts.add(finding.severity);
        }
        if state.text.len() + key.bytes().len() + line.len() > self.memory {
            state.spill(&self.directory)?;
        }
        state.append(&key, &line)
    }

    /// The findings pushed so far by severity, suppressed ones left out, those reported twice counted twice.
    pub fn counts(&self) -> SeverityCounts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts
    }

    /// Writes all findings sorted, one JSON object a line, and counts them, suppressed ones left out.
    ///
    /// # Errors
    ///
    /// When findings were lost before, or the temporary file cannot be read, or `out` cannot be written. What was
    /// written to `out` by then is not the whole result and must be thrown away.
    pub fn finish(self, out: &mut dyn Write) -> io::Result<SeverityCounts> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.check()?;
        let mut counts = SeverityCounts::default();
        let mut out = BufWriter::with_capacity(64 << 10, out);
        if state.runs.is_empty() {
            state.sort();
            let mut last: Option<Key> = None;
            for entry in &state.entries {
                let key = state.key(*entry);
                if last.as_ref().is_none_or(|last| !last.same_finding(&key)) {
                    out.write_all(state.line(*entry))?;
                    if let Some(severity) = key.active_severity() {
                        counts.add(severity);
                    }
                    last = Some(key);
                }
            }
        } else {
            state.spill(&self.directory)?;
            for finding in state.into_merged()? {
                let (line, severity) = finding?;
                out.write_all(&line)?;
                if let Some(severity) = severity {
                    counts.add(severity);
                }
            }
        }
        out.flush()?;
        Ok(counts)
    }
}

impl State {
    fn check(&self) -> io::Result<()> {
        match &self.broken {
            Some(problem) => Err(io::Error::other(format!("findings were lost before: {problem}"))),
            None => Ok(()),
        }
    }

    fn append(&mut self, key: &Key, line: &[u8]) -> io::Result<()> {
        let entry = Entry {
            start: self.text.len(),
            key: length(key.bytes().len())?,
            identity: length(key.identity_len())?,
            line: length(line.len())?,
        };
        self.text.extend_from_slice(key.bytes());
        self.text.extend_from_slice(line);
        self.entries.push(entry);
        Ok(())
    }

    fn key(&self, entry: Entry) -> Key {
        Key::from_parts(self.key_bytes(entry).to_vec(), entry.identity as usize)
    }

    fn key_bytes(&self, entry: Entry) -> &[u8] {
        &self.text[entry.start..entry.start + entry.key as usize]
    }

    fn line(&self, entry: Entry) -> &[u8] {
        let start = entry.start + entry.key as usize;
        &self.text[start..start + entry.line as usize]
    }

    fn sort(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        // Of equal keys the text decides, so that the order does not depend on threads.
        let text = |entry: &Entry| (self.key_bytes(*entry), self.line(*entry));
        entries.sort_unstable_by(|a, b| text(a).cmp(&text(b)));
        self.entries = entries;
    }

    /// Moves what is in memory to the file as one sorted run.
    fn spill(&mut self, directory: &std::path::Path) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        self.sort();
        let start = self.runs.last().map_or(0, |run| run.end);
        match self.write_run(directory) {
            Ok(written) => {
                self.runs.push(Run { start, end: start + written });
                self.entries.clear();
                self.text.clear();
                Ok(())
            }
            Err(error) => {
                self.broken = Some(format!("writing the temporary file failed: {error}"));
                Err(error)
            }
        }
    }

    fn write_run(&mut self, directory: &std::path::Path) -> io::Result<u64> {
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile_in(directory)?,
        };
        let mut out = BufWriter::with_capacity(64 << 10, &file);
        let mut written = 0;
        for entry in &self.entries {
            for length in [entry.key, entry.identity, entry.line] {
                out.write_all(&length.to_le_bytes())?;
            }
            out.write_all(self.key_bytes(*entry))?;
            out.write_all(self.line(*entry))?;
            written += 12 + u64::from(entry.key) + u64::from(entry.line);
        }
        out.flush()?;
        drop(out);
        self.file = Some(file);
        Ok(written)
    }

    fn into_merged(self) -> io::Result<Merged<RunReader, Kept>> {
        let Self { file, runs, .. } = self;
        let file = file.ok_or_else(|| io::Error::other("the temporary file is gone"))?;
        let file = Rc::new(RefCell::new(file));
        let buffer = ((16 << 20) / runs.len().max(1)).clamp(8 << 10, 256 << 10);
        let readers = runs.into_iter().map(|run| RunReader {
            input: io::BufReader::with_capacity(
                buffer,
                FilePart { file: Rc::clone(&file), at: run.start, end: run.end },
            ),
        });
        Ok(Merged::new(readers.collect()))
    }
}

fn length(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| invalid("a finding is longer than 4 GiB".to_owned()))
}

/// The line of a finding and, unless it is suppressed, its severity.
type Kept = (Vec<u8>, Option<Severity>);

impl Tie for Kept {
    fn tie(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// Reads one run of the temporary file.
#[derive(Debug)]
struct RunReader {
    input: io::BufReader<FilePart>,
}

impl RunReader {
    fn read(&mut self) -> io::Result<(Key, Kept)> {
        let mut lengths = [[0; 4]; 3];
        for length in &mut lengths {
            self.input.read_exact(length)?;
        }
        let [key, identity, line] = lengths.map(|bytes| u32::from_le_bytes(bytes) as usize);
        let mut key_bytes = vec![0; key];
        self.input.read_exact(&mut key_bytes)?;
        let mut line = vec![0; line];
        self.input.read_exact(&mut line)?;
        let key = Key::from_parts(key_bytes, identity);
        let severity = key.active_severity();
        Ok((key, (line, severity)))
    }
}

impl Iterator for RunReader {
    type Item = io::Result<(Key, Kept)>;

    fn next(&mut self) -> Option<Self::Item> {
        match io::BufRead::fill_buf(&mut self.input) {
            Ok([]) => None,
            Ok(_) => Some(self.read()),
            Err(error) => Some(Err(error)),
        }
    }
}

/// A part of a file that several parts are read from by turns.
#[derive(Debug)]
struct FilePart {
    file: Rc<RefCell<File>>,
    at: u64,
    end: u64,
}

impl Read for FilePart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        if left == 0 {
            return Ok(0);
        }
        let wanted = left.min(buffer.len());
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(self.at))?;
        let read = file.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the temporary file of findings was cut short",
            ));
        }
        self.at += read as u64;
        Ok(read)
    }
}
