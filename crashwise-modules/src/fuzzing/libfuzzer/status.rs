//! The lines that a running libFuzzer prints; a tab stands after the number.
//!
//! ```text
//! #2097152    pulse  cov: 3 ft: 5 corp: 2/17b lim: 4096 exec/s: 1048576 rss: 40Mb
//! #17    NEW    cov: 4 ft: 4 corp: 2/2b lim: 4 exec/s: 0 rss: 30Mb L: 1/1 MS: 1 ChangeBit- DE: "x"-
//! #12: cov: 4 ft: 4 corp: 2 exec/s: 3 oom/timeout/crash: 0/0/1 time: 1s job: 2 dft_time: 0
//! INFO: Loaded 1 modules   (1147 inline 8-bit counters): 1147 [0x55, 0x56),
//! stat::number_of_executed_units: 4194304
//! Done 4194304 runs in 3 second(s)
//! ```

/// What a status line was printed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusEvent {
    /// The corpus is being read.
    Read,
    /// The corpus was read.
    Inited,
    /// An input with new coverage.
    New,
    /// A smaller input for known coverage.
    Reduce,
    /// Inputs of another job were read.
    Reload,
    /// A sign of life, at powers of two.
    Pulse,
    /// The end.
    Done,
    /// A line of fork mode.
    Fork,
}

/// One status line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it was printed for.
    pub event: StatusEvent,
    /// Inputs executed by this process.
    pub executions: u64,
    /// Edges covered; 0 without instrumentation.
    pub edges: u64,
    /// Features: edges with hit counts, comparisons.
    pub features: u64,
    /// Inputs in the corpus.
    pub corpus: u64,
    /// Bytes in the corpus, as exactly as the line has it.
    pub corpus_bytes: u64,
    /// Inputs per second since the process began.
    pub per_second: u64,
    /// Resident memory in MiB.
    pub memory: u64,
}

/// What `-print_final_stats=1` prints at the end, also after a crash.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FinalStats {
    /// Inputs executed.
    pub executions: Option<u64>,
    /// Inputs per second.
    pub per_second: Option<u64>,
    /// Inputs added to the corpus.
    pub added: Option<u64>,
    /// Seconds of the slowest input.
    pub slowest: Option<u64>,
    /// Highest resident memory in MiB.
    pub memory: Option<u64>,
}

/// A line of output, recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StatusLine<'a> {
    /// Progress.
    Status(Status),
    /// How many edges can be covered in a module; there may be several.
    Counters(u64),
    /// The seed of the process.
    Seed(u64),
    /// Name and value of a final statistic.
    Final(&'a str, u64),
    /// The path of an artifact that was written.
    Artifact(&'a str),
    /// An input that took long, by path or by nothing.
    Slow,
}

impl<'a> StatusLine<'a> {
    /// Recognises a line; `None` for all that is not libFuzzer's.
    pub fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim_end();
        if let Some(rest) = line.strip_prefix('#') {
            return status(rest).map(Self::Status);
        }
        if let Some(rest) = line.strip_prefix("INFO: ") {
            if let Some(seed) = rest.strip_prefix("Seed: ") {
                return Some(Self::Seed(seed.parse().ok()?));
            }
            let (_, counters) = rest.strip_prefix("Loaded ")?.split_once('(')?;
            let (count, kind) = counters.split_once(' ')?;
            return kind.starts_with("inline 8-bit counters").then_some(Self::Counters(count.parse().ok()?));
        }
        if let Some(rest) = line.strip_prefix("stat::") {
            let (name, value) = rest.split_once(':')?;
            return Some(Self::Final(name, value.trim().parse().ok()?));
        }
        if let Some((_, path)) = line.split_once("Test unit written to ") {
            return Some(Self::Artifact(path));
        }
        line.starts_with("Slowest unit: ").then_some(Self::Slow)
    }
}

impl FinalStats {
    /// Takes over one line of final statistics.
    pub fn set(&mut self, name: &str, value: u64) {
        let slot = match name {
            "number_of_executed_units" => &mut self.executions,
            "average_exec_per_sec" => &mut self.per_second,
            "new_units_added" => &mut self.added,
            "slowest_unit_time_sec" => &mut self.slowest,
            "peak_rss_mb" => &mut self.memory,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// What follows the number sign.
fn status(rest: &str) -> Option<Status> {
    let digits = rest.find(|c: char| !c.is_ascii_digit())?;
    let executions = rest[..digits].parse().ok()?;
    let rest = &rest[digits..];
    let (event, fields) = if let Some(fields) = rest.strip_prefix(": ") {
        (StatusEvent::Fork, fields)
    } else {
        let rest = rest.strip_prefix('\t')?;
        let (name, fields) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let event = match name {
            "READ" => StatusEvent::Read,
            "INITED" => StatusEvent::Inited,
            "NEW" => StatusEvent::New,
            "REDUCE" => StatusEvent::Reduce,
            "RELOAD" => StatusEvent::Reload,
            "pulse" => StatusEvent::Pulse,
            "DONE" => StatusEvent::Done,
            _ => return None,
        };
        (event, fields)
    };
    let mut status = Status {
        event,
        executions,
        edges: 0,
        features: 0,
        corpus: 0,
        corpus_bytes: 0,
        per_second: 0,
        memory: 0,
    };
    let mut words = fields.split_whitespace();
    while let Some(word) = words.next() {
        let mut value = || words.next().and_then(|value| value.parse::<u64>().ok());
        match word {
            "cov:" => status.edges = value()?,
            "ft:" => status.features = value()?,
            "exec/s:" => status.per_second = value()?,
            "corp:" => {
                let (count, bytes) =
                    words.next()?.split_once('/').map_or((None, ""), |(count, bytes)| (Some(count), bytes));
                let Some(count) = count else { continue };
                status.corpus = count.parse().ok()?;
                status.corpus_bytes = size(bytes)?;
            }
            "rss:" => status.memory = words.next()?.strip_suffix("Mb")?.parse().ok()?,
            // Mutations and the words of the dictionary follow: text of the input.
            "L:" | "MS:" | "DE:" => break,
            _ => {}
        }
    }
    if event == StatusEvent::Fork
        && let Some((_, rest)) = fields.split_once("corp: ")
    {
        status.corpus = rest.split(' ').next()?.parse().ok()?;
    }
    Some(status)
}

fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    Some(match &text[digits..] {
        "b" => number,
        "Kb" => number.saturating_mul(1 << 10),
        "Mb" => number.saturating_mul(1 << 20),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Status, StatusEvent, StatusLine};

    fn check(line: &str, event: StatusEvent, values: [u64; 7]) {
        let [executions, edges, features, corpus, corpus_bytes, per_second, memory] = values;
        let expect = Status { event, executions, edges, features, corpus, corpus_bytes, per_second, memory };
        assert_eq!(StatusLine::parse(line), Some(StatusLine::Status(expect)), "{line}");
    }

    #[test]
    fn status_lines() {
        check(
            "#2\tINITED cov: 3 ft: 3 corp: 1/1b exec/s: 0 rss: 30Mb",
            StatusEvent::Inited,
            [2, 3, 3, 1, 1, 0, 30],
        );
        check(
            "#17\tNEW    cov: 4 ft: 5 corp: 2/17Kb lim: 4 exec/s: 9 rss: 31Mb L: 1/1 MS: 1 ChangeBit- DE: \"cov: 9\"-",
            StatusEvent::New,
            [17, 4, 5, 2, 17 << 10, 9, 31],
        );
        check(
            "#2097152\tpulse  corp: 1/1b lim: 4096 exec/s: 1048576 rss: 40Mb",
            StatusEvent::Pulse,
            [2_097_152, 0, 0, 1, 1, 1_048_576, 40],
        );
        check(
            "#9\tREDUCE cov: 1 ft: 2 corp: 3/2Mb focus: 1 units: 7 exec/s: 0 rss: 1Mb L: 3/9 MS: 2 EraseBytes-CrossOver-",
            StatusEvent::Reduce,
            [9, 1, 2, 3, 2 << 20, 0, 1],
        );
        check(
            "#5\tDONE   cov: 1 ft: 2 corp: 3/4b lim: 4 exec/s: 5 rss: 6Mb",
            StatusEvent::Done,
            [5, 1, 2, 3, 4, 5, 6],
        );
        check(
            "#12: cov: 4 ft: 4 corp: 2 exec/s: 3 oom/timeout/crash: 0/0/1 time: 1s job: 2 dft_time: 0",
            StatusEvent::Fork,
            [12, 4, 4, 2, 0, 3, 0],
        );
        check("#2\tINITED exec/s: 0 rss: 42Mb", StatusEvent::Inited, [2, 0, 0, 0, 0, 0, 42]);
    }

    #[test]
    fn other_lines() {
        for (line, expect) in [
            ("INFO: Seed: 1234", Some(StatusLine::Seed(1234))),
            (
                "INFO: Loaded 1 modules   (1147 inline 8-bit counters): 1147 [0x55, 0x56),",
                Some(StatusLine::Counters(1147)),
            ),
            ("INFO: Loaded 1 PC tables (1147 PCs): 1147 [0x55,0x56),", None),
            ("INFO: Running with entropic power schedule (0xFF, 100).", None),
            ("stat::peak_rss_mb:                 41", Some(StatusLine::Final("peak_rss_mb", 41))),
            (
                "artifact_prefix='/a b/'; Test unit written to /a b/crash-00",
                Some(StatusLine::Artifact("/a b/crash-00")),
            ),
            ("Slowest unit: 12 s:", Some(StatusLine::Slow)),
            ("#define X", None),
            ("#12", None),
            ("#99999999999999999999999\tNEW cov: 1", None),
            ("#1\tNEW cov: x", None),
            ("    #0 0x55 in parse", None),
            ("", None),
        ] {
            assert_eq!(StatusLine::parse(line), expect, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_a_target_prints_does_harm(line in "#?[0-9]{0,21}[\t :a-zA-Z/0-9ñ]{0,60}") {
            let _ = StatusLine::parse(&line);
        }
    }
}
