//! How busy each core is.

/// How busy each core is, between two looks at what the kernel counts.
#[derive(Debug, Default)]
pub(super) struct CoreLoad {
    /// Ticks of each core at the last look: busy, and all.
    before: Vec<(u64, u64)>,
}

impl CoreLoad {
    /// The share of time that each core was busy since the last look, 0 to 1; nothing at the first, and where the kernel
    /// does not tell.
    pub(super) fn look(&mut self) -> Vec<f64> {
        self.since(&std::fs::read_to_string("/proc/stat").unwrap_or_default())
    }

    fn since(&mut self, text: &str) -> Vec<f64> {
        let now = ticks(text);
        let shares = now.iter().zip(&self.before).map(|((busy, all), (busy_before, all_before))| {
            let all = all.saturating_sub(*all_before).max(1);
            #[allow(clippy::cast_precision_loss, reason = "a share for people")]
            let share = busy.saturating_sub(*busy_before).min(all) as f64 / all as f64;
            share
        });
        let shares = shares.collect();
        self.before = now;
        shares
    }
}

/// Of the lines `cpu0 user nice system idle iowait irq softirq steal ...`.
fn ticks(text: &str) -> Vec<(u64, u64)> {
    let cores = text.lines().filter(|line| {
        line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    });
    cores
        .take(1024)
        .map(|line| {
            let fields: Vec<u64> = line.split(' ').skip(1).map(|field| field.parse().unwrap_or(0)).collect();
            let all = fields.iter().take(8).sum();
            let idle = fields.iter().skip(3).take(2).sum::<u64>();
            (all - idle, all)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_time_between_two_looks() {
        let mut load = CoreLoad::default();
        assert!(
            load.since("cpu  9 9 9 9\ncpu0 10 0 0 90 0 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0\nintr 5\n")
                .is_empty()
        );
        let shares = load.since("cpu  9 9 9 9\ncpu0 60 0 0 140 0 0 0 0 0 0\ncpu1 0 0 0 200 0 0 0 0\n");
        assert_eq!(shares, [0.5, 0.0]);
        assert_eq!(load.since("cpu0 x"), [0.0]);
        assert!(load.since("").is_empty());
    }
}
