//! What a campaign leaves open at its end: a target that did next to nothing is not one that does not crash.

use crashwise_core::{Gap, GapReason};

use super::libfuzzer::Totals;

/// Executions below which nothing can be said about a target: a fuzzer tries that many before it has changed each byte of a few short
/// inputs in a few ways, and a target that is not slow does them in a second.
const FEW: u64 = 1000;

/// A campaign that is over.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) totals: &'a Totals,
    /// Whether it had all its time for inputs of its own: neither cancelled nor a replay.
    pub(super) whole: bool,
}

impl End<'_> {
    /// Why the target cannot be fuzzed, or not further.
    pub(super) fn useless(&self) -> Option<String> {
        let nothing = self.totals.last.executions == 0;
        let idle = || nothing.then(|| "it executed nothing in its time".to_owned());
        self.totals.cut_short.clone().or_else(idle)
    }

    /// What was not looked at, of a campaign that was to execute `asked` inputs; of the target as a whole under its own name.
    pub(super) fn gaps(&self, asked: Option<u64>) -> Vec<Gap> {
        let Self { name, totals, .. } = *self;
        let mut gaps = Vec::new();
        if let Some(why) = &totals.without_native {
            gaps.push(Gap::new(format!("{name} without a sanitizer"), GapReason::Failed, why.as_str()));
        }
        if totals.deaf > 0 {
            let why = format!(
                "{} of its processes went on when told by SIGUSR1 that their time was up, and were killed; what they found is kept",
                totals.deaf
            );
            gaps.push(Gap::new(format!("the end of {name}"), GapReason::Unsupported, why));
        }
        if let Some(why) = self.useless() {
            gaps.push(Gap::new(name, GapReason::Failed, why));
        } else if self.whole {
            gaps.extend(self.little(asked));
        }
        gaps
    }

    /// Why a campaign that went well says next to nothing.
    fn little(&self, asked: Option<u64>) -> Option<Gap> {
        let (name, last) = (self.name, &self.totals.last);
        // Jobs and builds share what was asked for, and round it.
        if last.executions < asked.map_or(FEW, |asked| FEW.min(asked / 2)) {
            let why = format!(
                "it executed {} inputs in {} s, too few to say anything about crashes: each took long, or had the target wait for \
                 other processes",
                last.executions,
                last.elapsed.as_secs()
            );
            return Some(Gap::new(name, GapReason::TimedOut, why));
        }
        let blind = self.totals.blind && last.crashes == 0 && asked.is_none_or(|asked| asked >= FEW);
        blind.then(|| {
            let why = format!(
                "none of {} inputs reached code that the first had not: it makes nothing of its input, has another process run it, or \
                 is not instrumented where it runs",
                last.executions
            );
            Gap::new(name, GapReason::Unsupported, why)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fuzzing::libfuzzer::Progress;

    #[test]
    fn next_to_nothing_is_told() {
        for (executions, asked, blind, crashes, whole, expect) in [
            (68, None, false, 0, true, "68 inputs in 20 s"),
            (999, Some(1_000_000), false, 3, true, "999 inputs"),
            (1000, None, false, 0, true, ""),
            (90, Some(100), false, 0, true, ""),
            (40, Some(100), false, 0, true, "40 inputs"),
            (68, None, false, 0, false, ""),
            (0, None, false, 0, false, "executed nothing"),
            (500_000, None, true, 0, true, "none of 500000"),
            (500_000, None, true, 1, true, ""),
            (100, Some(100), true, 0, true, ""),
            (500_000, None, true, 0, false, ""),
        ] {
            let last =
                Progress { executions, crashes, elapsed: Duration::from_secs(20), ..Progress::default() };
            let totals = Totals { last, blind, ..Totals::default() };
            let gaps = End { name: "parse", totals: &totals, whole }.gaps(asked);
            let told: Vec<String> = gaps.iter().map(ToString::to_string).collect();
            assert_eq!(told.len(), usize::from(!expect.is_empty()), "{executions}: {told:?}");
            assert!(told.iter().all(|gap| gap.starts_with("parse: ") && gap.contains(expect)), "{told:?}");
        }
    }

    #[test]
    fn what_cannot_go_on_is_told_once() {
        let totals = Totals {
            deaf: 2,
            cut_short: Some("it crashes on the empty input".into()),
            without_native: Some("it did not fuzz".into()),
            ..Totals::default()
        };
        let gaps = End { name: "parse", totals: &totals, whole: true }.gaps(None);
        let whats: Vec<&str> = gaps.iter().map(|gap| gap.what.as_str()).collect();
        assert_eq!(whats, ["parse without a sanitizer", "the end of parse", "parse"]);
    }
}
