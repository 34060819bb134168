//! Whose turn it is, when a campaign has two programs: the target, and the same one built without a sanitizer.

use std::time::Duration;

/// The shortest time of a process, unless it ends by itself, and what part of a campaign it may take.
const SLICE: (Duration, u32) = (Duration::from_secs(6), 6);
/// The shortest campaign in which both programs have a turn.
const LEAST: Duration = Duration::from_secs(4);

/// The corpus of a process that begins without that of the campaign, below where it works.
pub(super) const FRESH: &str = "fresh";

/// One process of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Its number among all processes, from 1.
    pub(super) number: u64,
    /// Its number among the processes of its program, from 1.
    pub(super) own: u64,
    /// Whether it is of the build without a sanitizer.
    pub(super) native: bool,
    /// How long it may fuzz.
    pub(super) slice: Duration,
    /// Whether it begins without the corpus.
    pub(super) fresh: bool,
    /// Whether it runs on the default stack, where others have a small one.
    pub(super) roomy: bool,
    /// Executions that are left to it, if they are limited.
    pub(super) runs: Option<u64>,
}

/// What the programs have had so far, the target first.
#[derive(Debug, Default)]
pub(super) struct Turns {
    budget: Duration,
    executions: Option<u64>,
    slice: Duration,
    /// Whether there are two programs.
    both: bool,
    /// Time, that of running processes as if they used all of theirs.
    spent: [Duration; 2],
    done: [u64; 2],
    begun: [u64; 2],
}

impl Turns {
    /// A campaign of one process, which is followed by another one only if it ends by itself.
    pub(super) fn new(budget: Duration, executions: Option<u64>) -> Self {
        Self { budget, executions, slice: budget, ..Self::default() }
    }

    /// One of several processes, of two programs if `both`.
    pub(super) fn sliced(mut self, both: bool) -> Self {
        self.both = both && self.budget >= LEAST;
        self.slice = SLICE.0.max(self.budget / SLICE.1).min(self.budget / if self.both { 2 } else { 1 });
        self
    }

    /// The next process of one of `jobs`, of the program that has had less time; `None` when all is executed. Each program gets
    /// half of the executions.
    pub(super) fn next(&mut self, jobs: usize) -> Option<Turn> {
        let left = |program: usize| {
            let all = self.executions?;
            let together = all.saturating_sub(self.executed()) / jobs as u64;
            let own = if self.both { all.div_ceil(2) } else { all };
            Some(together.min(own.saturating_sub(self.done[program])))
        };
        let sooner = self.spent[1] <= self.spent[0] || left(0) == Some(0);
        let native = self.both && sooner && left(1) != Some(0);
        let program = usize::from(native);
        let runs = left(program);
        if runs == Some(0) {
            return None;
        }
        self.spent[program] += self.slice;
        self.begun[program] += 1;
        let own = self.begun[program];
        let fresh = native && own.is_multiple_of(2);
        Some(Turn { number: self.begun(), own, native, slice: self.slice, fresh, roomy: false, runs })
    }

    /// Notes how long a process took, and what it executed.
    pub(super) fn ended(&mut self, turn: &Turn, took: Duration, executions: u64) {
        let program = usize::from(turn.native);
        self.spent[program] = (self.spent[program] + took).saturating_sub(turn.slice);
        self.done[program] += executions;
    }

    /// Leaves the rest to the target alone.
    pub(super) fn give_up_native(&mut self) {
        self.both = false;
    }

    /// Executions of processes that have ended.
    pub(super) fn executed(&self) -> u64 {
        self.done.iter().sum()
    }

    /// Processes so far.
    pub(super) fn begun(&self) -> u64 {
        self.begun.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The programs of processes that take so many seconds, one after the other.
    fn order(turns: &mut Turns, seconds: &[u32]) -> String {
        let mut order = String::new();
        for seconds in seconds {
            let turn = turns.next(1).expect("time");
            order.push(if turn.native { 'n' } else { 's' });
            turns.ended(&turn, SECOND * *seconds, turn.runs.unwrap_or(0));
        }
        order
    }

    #[test]
    fn programs_get_the_same_time() {
        for (both, budget, seconds, expect) in [
            (true, 60, &[10, 10, 10, 10, 10][..], "nsnsn"),
            // Processes that crash soon.
            (true, 60, &[1, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1], "nsnnnnnnnnn"),
            (true, 60, &[10, 3, 3, 3, 3, 10], "nssssn"),
            (false, 60, &[10, 1, 1], "sss"),
            (true, 3, &[1, 1, 1], "sss"),
        ] {
            assert_eq!(
                order(&mut Turns::new(SECOND * budget, None).sliced(both), seconds),
                expect,
                "{seconds:?}"
            );
        }
        let mut turns = Turns::new(SECOND * 60, None).sliced(true);
        let running = [(); 3].map(|()| turns.next(3).expect("time"));
        assert_eq!(running.map(|turn| turn.native), [true, false, true], "jobs are split");
        assert_eq!(running.map(|turn| (turn.number, turn.own)), [(1, 1), (2, 1), (3, 2)]);
        assert_eq!(running.map(|turn| turn.fresh), [false, false, true]);
        for (both, budget, slice) in [(true, 60, 10), (true, 8, 4), (false, 8, 6), (false, 3, 3)] {
            assert_eq!(Turns::new(SECOND * budget, None).sliced(both).slice, SECOND * slice, "{budget}");
        }
        turns.give_up_native();
        assert_eq!(order(&mut turns, &[1, 1]), "ss");
    }

    #[test]
    fn programs_get_half_of_the_executions() {
        let mut turns = Turns::new(SECOND * 60, Some(1001)).sliced(true);
        let first = turns.next(1).expect("time");
        assert_eq!((first.native, first.runs), (true, Some(501)));
        turns.ended(&first, SECOND, 100);
        for (native, runs) in [(false, 501), (true, 400)] {
            let turn = turns.next(1).expect("time");
            assert_eq!((turn.native, turn.runs), (native, Some(runs)));
            turns.ended(&turn, SECOND * 5, runs);
        }
        assert_eq!((turns.next(1), turns.executed(), turns.begun()), (None, 1001, 3));
        let alone = Turns::new(SECOND * 60, Some(1000)).sliced(false).next(4);
        assert_eq!(alone.expect("time").runs, Some(250));
    }
}
