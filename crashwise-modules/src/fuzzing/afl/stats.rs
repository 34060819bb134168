//! What an instance writes about itself: `fuzzer_stats`, lines of `name : value`, and `plot_data`, a table whose columns
//! differ by version.

use std::collections::BTreeMap;

/// Where one instance stands.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Stats {
    pub(super) executions: u64,
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

    /// What both know: `fuzzer_stats` is written once a minute by older versions, `plot_data` every five seconds.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            executions: self.executions.max(other.executions),
            corpus: self.corpus.max(other.corpus),
            edges: self.edges.max(other.edges),
            edges_total: self.edges_total.max(other.edges_total),
            stability: self.stability.or(other.stability),
        }
    }

    fn of<'a>(field: &dyn Fn(&str) -> Option<&'a str>) -> Self {
        let count = |name: &str| field(name).and_then(|value| value.parse().ok()).unwrap_or(0);
        let number = |name: &str| field(name).and_then(|value| value.parse::<f64>().ok());
        Self {
            executions: count("execs_done"),
            corpus: count("corpus_count").max(count("paths_total")),
            edges: count("edges_found"),
            edges_total: count("total_edges"),
            stability: number("stability"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_versions() {
        let text = "start_time        : 1700000000\nexecs_done        : 29381\nexecs_per_sec     : 3672.62\n\
            execs_ps_last_min : 0.00\ncorpus_count      : 12\nedges_found       : 15\ntotal_edges       : 29\n\
            bitmap_cvg        : 51.72%\nstability         : 100.00%\nsaved_crashes     : 2\nsaved_hangs : 1\n\
            command_line      : afl-fuzz -i a: b\n";
        let expect =
            Stats { executions: 29381, corpus: 12, edges: 15, edges_total: 29, stability: Some(100.0) };
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
}
