//! What an instance tells about itself: `fuzzer_stats`, lines of `name : value`, `plot_data`, a table whose columns differ by
//! version, and the names of its finds, which are all that older versions tell in the first minute.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Seconds over which a rate is no matter of chance.
const SHORT: f64 = 0.5;
/// How often older versions write `fuzzer_stats`.
const SILENCE: Duration = Duration::from_mins(1);

/// Where one instance stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) executions: u64,
    /// Seconds that it had run by then.
    pub(super) seconds: f64,
    pub(super) corpus: u64,
    pub(super) edges: u64,
    pub(super) edges_total: u64,
    /// Percent of the edges that behave alike over runs of one input.
    pub(super) stability: Option<f64>,
}

impl Stats {
    /// Reads `fuzzer_stats`. Lines that are none are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let fields: BTreeMap<&str, &str> = text
            .lines()
            .take(200)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim(), value.trim().trim_end_matches('%')))
            .collect();
        Self::of(&|name| fields.get(name).copied())
    }

    /// Reads the last row of `plot_data` by the names in its head.
    pub(super) fn parse_plot(text: &str) -> Option<Self> {
        let head: Vec<&str> = text.lines().next()?.strip_prefix('#')?.split(',').map(str::trim).collect();
        let last = text.lines().rfind(|line| !line.starts_with('#') && !line.is_empty())?;
        let row: Vec<&str> = last.split(',').map(|value| value.trim().trim_end_matches('%')).collect();
        if row.len() < head.len() {
            // It is being written.
            return None;
        }
        let fields: BTreeMap<&str, &str> = head.into_iter().zip(row).collect();
        Some(Self::of(&|name| {
            let name = if name == "execs_done" { "total_execs" } else { name };
            fields.get(name).copied()
        }))
    }

    /// What both know.
    pub(super) fn or(self, other: Self) -> Self {
        let later = if self.executions >= other.executions { self } else { other };
        Self {
            corpus: self.corpus.max(other.corpus),
            edges: self.edges.max(other.edges),
            edges_total: self.edges_total.max(other.edges_total),
            stability: self.stability.or(other.stability),
            ..later
        }
    }

    /// The same with what the names of its finds tell: `id:000003,src:000001,time:57,execs:1052,op:havoc,rep:8,+cov`, with the
    /// time in milliseconds. Each that is new coverage reaches one edge at least that was not known before.
    pub(super) fn with_finds<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        let (known, mut found) = (self.executions, 0);
        for name in names {
            let field = |key| {
                name.split(',').find_map(|part| part.strip_prefix(key)?.parse::<u32>().ok()).map(f64::from)
            };
            let (Some(time), Some(executions)) = (field("time:"), count(name)) else { continue };
            found += u64::from(executions > known && name.ends_with(",+cov"));
            if executions > self.executions {
                (self.executions, self.seconds) = (executions, time / 1000.0);
            }
        }
        self.edges = (self.edges + found).min(self.edges_total.max(self.edges));
        self
    }

    fn of<'a>(field: &dyn Fn(&str) -> Option<&'a str>) -> Self {
        let count = |name: &str| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let number = |name: &str| field(name).and_then(|value| value.parse::<f64>().ok());
        Self {
            executions: count("execs_done"),
            seconds: number("run_time").or_else(|| number("relative_time")).unwrap_or(0.0),
            corpus: count("corpus_count").max(count("paths_total")),
            edges: count("edges_found"),
            edges_total: count("total_edges"),
            stability: number("stability"),
        }
    }
}

/// The executions in the name of a find.
fn count(name: &str) -> Option<u64> {
    name.split(',').find_map(|part| part.strip_prefix("execs:")?.parse().ok())
}

/// How fast an instance executes, by what it tells now and then.
#[derive(Debug, Default)]
pub(super) struct Pace {
    told: Stats,
    at: Option<Instant>,
    per_second: f64,
}

impl Pace {
    /// Takes over what it tells now.
    pub(super) fn hear(&mut self, stats: Stats, now: Instant) {
        if stats.executions <= self.told.executions {
            return;
        }
        let seconds = stats.seconds - self.told.seconds;
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        if seconds >= SHORT {
            self.per_second = (stats.executions - self.told.executions) as f64 / seconds;
        } else if stats.seconds > 0.0 {
            self.per_second = stats.executions as f64 / stats.seconds;
        }
        (self.told, self.at) = (stats, Some(now));
    }

    /// Since when it has told nothing new.
    pub(super) fn stale_for(&self, now: Instant) -> Option<Duration> {
        self.at.map(|at| now.saturating_duration_since(at))
    }

    /// Executions in each second.
    pub(super) fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Executions up to now, reckoned since it last told; for as long at most as older versions tell nothing.
    pub(super) fn executions(&self, now: Instant) -> u64 {
        let since = self.stale_for(now).unwrap_or_default().min(SILENCE).as_secs_f64();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count reckoned from a rate"
        )]
        let more = (self.per_second * since) as u64;
        self.told.executions + more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_versions() {
        let text = "start_time        : 1700000000\nrun_time : 8\nexecs_done        : 29381\nexecs_per_sec     : 3672.62\n\
            execs_ps_last_min : 0.00\ncorpus_count      : 12\nedges_found       : 15\ntotal_edges       : 29\n\
            bitmap_cvg        : 51.72%\nstability         : 100.00%\nsaved_crashes     : 2\nsaved_hangs : 1\n\
            command_line      : afl-fuzz -i a: b\n";
        let expect = Stats {
            executions: 29381,
            seconds: 8.0,
            corpus: 12,
            edges: 15,
            edges_total: 29,
            stability: Some(100.0),
        };
        assert_eq!(Stats::parse(text), expect);
        for hostile in ["", ":", "execs_done : -1", "execs_done : 99999999999999999999", "stability : x%"] {
            assert_eq!(Stats::parse(hostile), Stats::default(), "{hostile}");
        }
    }

    #[test]
    fn the_plot_is_read_by_its_head() {
        for (more, cells) in [("", ""), (", total_crashes, servers_count", ", 7, 1")] {
            let text = format!(
                "# relative_time, cycles_done, cur_item, corpus_count, pending_total, pending_favs, map_size, \
                 saved_crashes, saved_hangs, max_depth, execs_per_sec, total_execs, edges_found{more}\n\
                 1, 0, 0, 2, 1, 1, 3.10%, 0, 0, 1, 900.00, 900, 9{cells}\n\
                 6, 0, 3, 8, 1, 1, 5.10%, 2, 1, 3, 1200.50, 7000, 15{cells}\n"
            );
            let stats = Stats::parse_plot(&text).expect("a row");
            assert_eq!((stats.executions, stats.corpus, stats.edges), (7000, 8, 15));
            let both = Stats { executions: 9, edges_total: 29, ..Stats::default() }.or(stats);
            assert_eq!((both.executions, both.edges_total), (7000, 29));
            assert_eq!(Stats::parse_plot(&text[..text.len() - 12]).map(|stats| stats.executions), None);
        }
        assert_eq!(Stats::parse_plot(""), None);
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "as it was written")]
    fn finds_tell_by_their_names() {
        let stats = Stats { executions: 15, edges: 4, edges_total: 30, ..Stats::default() };
        let names = [
            "id:000000,time:0,execs:0,orig:plain-1",
            "id:000002,src:000000,time:4,execs:104,op:havoc,rep:16,+cov",
            "id:000003,src:000001,time:57,execs:1052,op:havoc,rep:8,+cov",
            "id:000002,sig:06,src:000003,time:4895,execs:28579,op:havoc,rep:8",
            "id:000009,time:x,execs:99999999999999999999999",
            "README.txt",
        ];
        let told = stats.with_finds(names.into_iter());
        assert_eq!((told.executions, told.seconds, told.edges), (28579, 4.895, 6));
        assert_eq!(Stats::default().with_finds(names.into_iter()).edges, 0, "more edges than there are");
    }

    #[test]
    #[allow(clippy::float_cmp, reason = "whole numbers")]
    fn executions_are_reckoned_between_two_words() {
        let begin = Instant::now();
        let mut pace = Pace::default();
        assert_eq!((pace.executions(begin), pace.stale_for(begin)), (0, None));
        for (executions, seconds, rate) in
            [(15, 0.0, 0.0), (1000, 0.25, 4000.0), (3000, 2.25, 1000.0), (3000, 9.0, 1000.0)]
        {
            pace.hear(Stats { executions, seconds, ..Stats::default() }, begin);
            assert_eq!(pace.per_second(), rate, "{executions}");
        }
        let after = |seconds| pace.executions(begin + Duration::from_secs(seconds));
        assert_eq!((after(0), after(4), after(3600)), (3000, 7000, 63_000));
    }
}
