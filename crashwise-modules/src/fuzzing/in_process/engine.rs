//! What to run next, and what to keep.

use super::mutate::Mutator;

/// What one run of the target reached.
#[derive(Debug)]
#[non_exhaustive]
pub struct Observation<'o> {
    /// The counters that were hit, and how often: edges of instrumented code by number. None without instrumentation.
    pub hits: &'o [(u32, u8)],
    /// Whether it took more than twenty milliseconds of CPU time. Less is not told, and no more than that: no two runs take the
    /// same time, and a seed is to give the same inputs.
    pub slow: bool,
}

/// Where an engine stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStatus {
    /// Edges reached.
    pub edges: usize,
    /// Features reached: edges with a class of how often.
    pub features: usize,
    /// Inputs kept.
    pub corpus: usize,
    /// Bytes of the inputs kept.
    pub corpus_bytes: usize,
    /// The longest input that is made at the moment, in bytes.
    pub limit: usize,
}

/// Proposes inputs, and learns from what they reached. The same seed and the same observations give the same inputs.
pub trait Engine: Send {
    /// Writes the next input into `input`, whatever stood there.
    fn next(&mut self, input: &mut Vec<u8>);

    /// Learns what an input reached, one that it proposed or one from a corpus, and says whether it is worth keeping.
    fn learn(&mut self, input: &[u8], seen: &Observation<'_>) -> bool;

    /// Where it stands.
    fn status(&self) -> EngineStatus;
}

/// Settings of [`CoverageGuided`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct EngineOptions {
    /// Where randomness comes from.
    pub seed: u64,
    /// The longest input in bytes.
    pub longest: usize,
    /// Words that inputs of the target are made of.
    pub words: Vec<Vec<u8>>,
    /// Whether short parts are repeated many times.
    pub repeat: bool,
    /// Is told which input the next ones are made of. A child that dies tells its parent, and of an input that only deaths are
    /// made of no more are made for a while.
    pub base: Option<fn(&[u8])>,
}

impl EngineOptions {
    /// With a seed, 4096 bytes, no words.
    pub fn new(seed: u64) -> Self {
        Self { seed, longest: 4096, ..Self::default() }
    }
}

/// Keeps inputs that reach something new or reach the same with less, and prefers those that reach what is rare. Inputs
/// begin short and grow when nothing new is found. Values that the target compared are put into the input.
#[derive(Debug)]
pub struct CoverageGuided {
    mutator: Mutator,
    longest: usize,
    limit: usize,
    corpus: Vec<Entry>,
    /// Of each counter, which classes of counts were seen.
    seen: Vec<u8>,
    /// What is known of each feature.
    known: Vec<Feature>,
    edges: usize,
    features: usize,
    corpus_bytes: usize,
    tell: Option<fn(&[u8])>,
    /// Sums of the entries' weights, for choosing.
    sums: Vec<f64>,
    /// Runs until the weights are made anew.
    until_weighing: usize,
    /// The entry that inputs are made from, and how many more.
    base: Option<usize>,
    changes_left: u8,
    current: Vec<u8>,
    runs: u64,
    last_find: u64,
    /// The sum of what all runs took.
    work: u64,
    scratch: Vec<u32>,
}

/// An edge with a class of how often.
#[derive(Debug, Clone, Copy)]
struct Feature {
    /// How often it was reached.
    reached: u32,
    /// The shortest input that reaches it.
    owner: u32,
    /// The length of that.
    shortest: u32,
}

impl Feature {
    const UNKNOWN: Self = Self { reached: 0, owner: u32::MAX, shortest: 0 };
}

#[derive(Debug)]
struct Entry {
    input: Vec<u8>,
    features: Vec<u32>,
    /// Edges that a run takes. Time would be no better a measure on a busy machine, and no run would be like another.
    work: u32,
    chosen: u32,
    /// How many of the runs that were made of it were slow.
    slow: u32,
}

/// Changes made one after the other to the same input.
const DEPTH: u8 = 5;
/// Classes of counts: 1, 2, 3, 4-7, 8-15, 16-31, 32-127, 128-255.
const CLASSES: u32 = 8;
/// How slowly the limit of length grows.
const LENGTH_CONTROL: u64 = 100;

impl CoverageGuided {
    /// An engine without a corpus.
    pub fn new(options: EngineOptions) -> Self {
        let mut mutator = Mutator::new(options.seed);
        mutator.words = options.words;
        mutator.repeat = options.repeat;
        Self {
            mutator,
            longest: options.longest.max(1),
            limit: 4.min(options.longest.max(1)),
            corpus: Vec::new(),
            seen: Vec::new(),
            known: Vec::new(),
            edges: 0,
            features: 0,
            corpus_bytes: 0,
            tell: options.base,
            sums: Vec::new(),
            until_weighing: 0,
            base: None,
            changes_left: 0,
            current: Vec::new(),
            runs: 0,
            last_find: 0,
            work: 0,
            scratch: Vec::new(),
        }
    }

    fn class(count: u8) -> u32 {
        match count {
            0..=1 => 0,
            2 => 1,
            3 => 2,
            4..=7 => 3,
            8..=15 => 4,
            16..=31 => 5,
            32..=127 => 6,
            128..=255 => 7,
        }
    }

    fn grow(&mut self, counter: u32) {
        let needed = (counter as usize + 1).next_power_of_two().max(1024);
        self.seen.resize(needed, 0);
        self.known.resize(needed * CLASSES as usize, Feature::UNKNOWN);
    }

    /// Weighs each entry by how rare its features are, how much work it is, and how often it was chosen.
    #[allow(clippy::cast_precision_loss, reason = "weights")]
    fn weigh(&mut self) {
        let mean = self.work as f64 / self.runs.max(1) as f64;
        let mut sum = 0.0;
        self.sums.clear();
        let mut work = 0;
        for entry in &self.corpus {
            work += entry.features.len();
            let rare = |feature: &u32| 1.0 / (1.0 + f64::from(self.known[*feature as usize].reached)).sqrt();
            let rarity: f64 = entry.features.iter().map(rare).sum();
            let slow = (f64::from(entry.work) / mean.max(1.0)).clamp(0.5, 8.0) * f64::from(1 + entry.slow);
            let fresh = if entry.chosen < 16 { 4.0 } else { 1.0 };
            sum += (0.01 + rarity) * fresh / slow;
            self.sums.push(sum);
        }
        self.until_weighing = (work / 4).max(2048);
    }

    fn choose(&mut self) -> usize {
        if self.until_weighing == 0 || self.sums.len() != self.corpus.len() {
            self.weigh();
        }
        self.until_weighing = self.until_weighing.saturating_sub(usize::from(DEPTH));
        let at = self.mutator.rng().f64() * self.sums.last().copied().unwrap_or_default();
        self.sums.partition_point(|sum| *sum <= at).min(self.corpus.len() - 1)
    }

    /// Lets inputs become longer when the last find is long ago.
    fn lengthen(&mut self) {
        let log = usize::BITS - self.limit.max(1).leading_zeros();
        if self.limit < self.longest && self.runs - self.last_find > LENGTH_CONTROL * u64::from(log) {
            self.limit = (self.limit + log as usize).min(self.longest);
            self.last_find = self.runs;
        }
    }

    fn tell_base(&self) {
        if let (Some(tell), Some(base)) = (self.tell, self.base) {
            tell(&self.corpus[base].input);
        }
    }

    fn found(&mut self) {
        self.last_find = self.runs;
    }

    /// Replaces the input of the entry at hand by a shorter one that reaches all that it stands for.
    #[allow(clippy::cast_possible_truncation, reason = "inputs have at most megabytes")]
    fn replace(&mut self, input: &[u8], work: u32) -> bool {
        let Some(base) = self.base else { return false };
        let entry = &mut self.corpus[base];
        let covers = |feature: &u32| self.scratch.binary_search(feature).is_ok();
        if input.len() >= entry.input.len() || !entry.features.iter().all(covers) {
            return false;
        }
        self.corpus_bytes = self.corpus_bytes - entry.input.len() + input.len();
        input.clone_into(&mut entry.input);
        entry.work = work;
        for feature in &entry.features {
            let known = &mut self.known[*feature as usize];
            if known.owner as usize == base {
                known.shortest = input.len() as u32;
            }
        }
        self.tell_base();
        true
    }
}

#[allow(clippy::cast_possible_truncation, reason = "counts that fit")]
impl Engine for CoverageGuided {
    fn next(&mut self, input: &mut Vec<u8>) {
        if self.corpus.is_empty() {
            self.current.clear();
            self.base = None;
        } else if self.changes_left == 0 {
            let base = self.choose();
            let entry = &mut self.corpus[base];
            entry.chosen = entry.chosen.saturating_add(1);
            entry.input.clone_into(&mut self.current);
            self.base = Some(base);
            self.changes_left = DEPTH;
            self.tell_base();
        }
        self.lengthen();
        self.changes_left = self.changes_left.saturating_sub(1);
        let limit =
            self.limit.max(self.base.map_or(0, |base| self.corpus[base].input.len())).min(self.longest);
        if self.current.len() > limit {
            // What repetition made is not made longer.
            let base = self.base.map_or(&[][..], |base| &self.corpus[base].input);
            self.current.clear();
            self.current.extend_from_slice(&base[..base.len().min(limit)]);
        }
        let mut current = std::mem::take(&mut self.current);
        let corpus = &self.corpus;
        let other = |rng: &mut fastrand::Rng| match corpus.len() {
            0 => &[][..],
            len => &corpus[rng.usize(0..len)].input,
        };
        self.mutator.change(&mut current, other, limit);
        self.current = current;
        self.current.clone_into(input);
    }

    fn learn(&mut self, input: &[u8], seen: &Observation<'_>) -> bool {
        self.runs += 1;
        if let (true, Some(base)) = (seen.slow, self.base) {
            self.corpus[base].slow += 1;
            self.changes_left = 0;
            self.until_weighing = 0;
        }
        let (mut fresh, mut fresh_edges, mut shorter, mut work) = (0, 0, false, 0);
        self.scratch.clear();
        for (counter, count) in seen.hits {
            if *counter as usize >= self.seen.len() {
                self.grow(*counter);
            }
            work += u32::from(*count);
            let class = Self::class(*count);
            let feature = counter * CLASSES + class;
            let bits = self.seen[*counter as usize];
            let known = &mut self.known[feature as usize];
            if bits & (1 << class) == 0 {
                fresh_edges += usize::from(bits == 0);
                fresh += 1;
            } else {
                shorter |= known.shortest as usize > input.len();
            }
            known.reached = known.reached.saturating_add(1);
            self.scratch.push(feature);
        }
        self.work += u64::from(work);
        self.scratch.sort_unstable();
        if fresh > 0 && fresh_edges == 0 && input.len() > self.limit {
            // A long input only counts higher, and would make every run that is made of it slower.
            return false;
        }
        if fresh > 0 {
            for feature in &self.scratch {
                self.seen[(feature / CLASSES) as usize] |= 1 << (feature % CLASSES);
            }
            self.edges += fresh_edges;
            self.features += fresh;
        }
        // Without instrumentation the first input is the corpus.
        if fresh == 0 && !(self.corpus.is_empty() && seen.hits.is_empty()) {
            return shorter && self.replace(input, work);
        }
        let number = self.corpus.len() as u32;
        let mut features = Vec::new();
        for feature in self.scratch.iter().copied() {
            let known = &mut self.known[feature as usize];
            if known.owner == u32::MAX || known.shortest as usize > input.len() {
                (known.owner, known.shortest) = (number, input.len() as u32);
                features.push(feature);
            }
        }
        self.corpus_bytes += input.len();
        self.corpus.push(Entry {
            input: input.to_vec(),
            features,
            work,
            chosen: 0,
            slow: u32::from(seen.slow),
        });
        self.found();
        true
    }

    fn status(&self) -> EngineStatus {
        EngineStatus {
            edges: self.edges,
            features: self.features,
            corpus: self.corpus.len(),
            corpus_bytes: self.corpus_bytes,
            limit: self.limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target of four nested bytes, each an edge of its own.
    fn run(input: &[u8]) -> Vec<(u32, u8)> {
        let depth = b"FUZZ".iter().zip(input).take_while(|(want, byte)| want == byte).count();
        (0..=u32::try_from(depth).unwrap()).map(|edge| (edge, 1)).collect()
    }

    fn runs_until_found(seed: u64) -> u64 {
        let mut engine = CoverageGuided::new(EngineOptions::new(seed));
        let mut input = Vec::new();
        for runs in 0..1_000_000 {
            let hits = run(&input);
            if hits.len() == 5 {
                return runs;
            }
            engine.learn(&input, &Observation { hits: &hits, slow: false });
            engine.next(&mut input);
        }
        u64::MAX
    }

    #[test]
    fn coverage_leads_to_the_word() {
        for seed in 1..6 {
            let runs = runs_until_found(seed);
            assert!(runs < 200_000, "{seed}: {runs}");
            assert_eq!(runs, runs_until_found(seed), "the same seed takes the same way");
        }
    }

    #[test]
    fn slow_inputs_are_seldom_chosen_and_bases_are_told() {
        thread_local!(static TOLD: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) });
        let mut options = EngineOptions::new(1);
        options.base = Some(|input| TOLD.set(input.to_vec()));
        let mut engine = CoverageGuided::new(options);
        engine.learn(b"quick", &Observation { hits: &[(0, 1)], slow: false });
        engine.learn(b"slow", &Observation { hits: &[(1, 1)], slow: false });
        let (mut input, mut slow) = (Vec::new(), 0);
        for _ in 0..4000 {
            engine.next(&mut input);
            let is_slow = TOLD.with_borrow(|told| told == b"slow");
            slow += u32::from(is_slow);
            let hits = [(u32::from(is_slow), 1)];
            // As long as what is known, so that nothing takes its place.
            engine.learn(&[b'x'; 64], &Observation { hits: &hits, slow: is_slow });
        }
        assert!((1..400).contains(&slow), "{slow} of 4000");
    }

    #[test]
    fn shorter_inputs_take_the_place_of_longer_ones() {
        let mut engine = CoverageGuided::new(EngineOptions::new(1));
        let seen = |hits: &[(u32, u8)], input: &[u8], engine: &mut CoverageGuided| {
            engine.learn(input, &Observation { hits, slow: false })
        };
        assert!(seen(&[(0, 1), (9, 200)], b"a long one", &mut engine));
        assert!(!seen(&[(0, 1)], b"a long one", &mut engine));
        let mut input = Vec::new();
        engine.next(&mut input);
        assert!(seen(&[(0, 1), (9, 255)], b"short", &mut engine));
        assert!(!seen(&[(0, 1)], b"", &mut engine), "it reaches less");
        assert_eq!(
            engine.status(),
            EngineStatus { edges: 2, features: 2, corpus: 1, corpus_bytes: 5, limit: 4 }
        );
    }
}
