//! The child: runs the target on one input after the other until its time is up or an input kills it.

use super::compares;
use super::counters::Counters;
use super::engine::{Engine, EngineOptions, EngineStatus, Observation};
use super::flags::{Flags, words};
use super::mailbox::Mailbox;
use super::module::{Closure, EngineFactory};
use super::signals::{self, Exceeded};
use super::still;
use super::words::{self, LastWords, say};
use crate::fuzzing::libfuzzer::{CAUGHT, LONGEST, MAILBOX};
use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the watch looks.
const WATCH: Duration = Duration::from_millis(100);
/// How many runs go by without a look at the clock, when runs are short.
const BLIND: u64 = 256;
/// CPU time after which a run is slow.
const SLOW: Duration = Duration::from_millis(20);
/// CPU time of a run beside which looking at it costs little.
const EXACT: Duration = Duration::from_micros(50);
/// After how many runs their length is judged anew; a multiple of [`BLIND`].
const PACE: u32 = 1024;

/// What fuzzing and watching threads share.
#[derive(Debug)]
struct Shared {
    mailbox: Mailbox,
    begin: Instant,
    edges: AtomicUsize,
    features: AtomicUsize,
    corpus: AtomicUsize,
    corpus_bytes: AtomicUsize,
    limit: AtomicUsize,
}

/// Runs the target as the flags say, and ends the process.
pub(super) fn run(flags: &Flags, target: &Closure, engine: EngineFactory) -> ! {
    if flags.seed != 0 {
        still::stay();
    }
    let mailbox = match Mailbox::create(Path::new(&format!("{}{MAILBOX}", flags.prefix))) {
        Ok(mailbox) => mailbox,
        Err(error) => {
            say!("the mailbox could not be made: {error}");
            end(1);
        }
    };
    signals::install(LastWords { mailbox, prefix: flags.prefix.clone() });
    let counters = Counters::attach();
    let seed = if flags.seed == 0 { fastrand::u64(1..) } else { flags.seed };
    say!("INFO: Seed: {seed}");
    say!("INFO: Loaded 1 modules   ({} inline 8-bit counters)", counters.len());
    let shared = Arc::new(Shared {
        mailbox,
        begin: Instant::now(),
        edges: AtomicUsize::new(0),
        features: AtomicUsize::new(0),
        corpus: AtomicUsize::new(0),
        corpus_bytes: AtomicUsize::new(0),
        limit: AtomicUsize::new(0),
    });
    let files = !flags.inputs.is_empty() && flags.inputs.iter().all(|path| path.is_file());
    let fuzzing = {
        let (flags, target, shared) = (flags.clone(), Arc::clone(target), Arc::clone(&shared));
        std::thread::Builder::new().name("fuzz".into()).stack_size(flags.stack << 10).spawn(move || {
            signals::prepare_thread();
            if files {
                replay(&flags.inputs, &target, &shared);
            } else {
                Fuzzing::new(&flags, target, engine, seed, counters, shared).run();
            }
        })
    };
    match fuzzing {
        Ok(thread) => watch(flags, &shared, thread),
        Err(error) => {
            say!("the thread to fuzz on could not be started: {error}");
            end(1);
        }
    }
}

/// Runs files once each. A panic ends the process, with what the program's own hook printed.
fn replay(files: &[PathBuf], target: &Closure, shared: &Shared) {
    for path in files {
        let input = match fs::read(path) {
            Ok(input) => input,
            Err(error) => {
                say!("{}: {error}", path.display());
                end(1);
            }
        };
        shared.mailbox.begin(&input);
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            words::end("crash", signals::CRASHED);
        }
        shared.mailbox.end();
    }
}

/// Prints where fuzzing stands once a second, and ends the process when an input takes too long or too much memory.
fn watch(flags: &Flags, shared: &Shared, thread: JoinHandle<()>) -> ! {
    let mut told = shared.begin;
    let (mut last, mut last_cpu) = (0, cpu_time());
    let (mut stalled, mut stalled_cpu) = (Duration::ZERO, Duration::ZERO);
    let patience = Duration::from_secs(flags.patience);
    while !thread.is_finished() {
        std::thread::park_timeout(WATCH);
        let (executions, cpu) = (shared.mailbox.executions(), cpu_time());
        if executions == last && shared.mailbox.running().is_some() {
            stalled += WATCH;
            stalled_cpu += cpu.saturating_sub(last_cpu);
        } else {
            (stalled, stalled_cpu) = (Duration::ZERO, Duration::ZERO);
        }
        (last, last_cpu) = (executions, cpu);
        // By its own time, because the machine may be busy with others; a target that sleeps gets longer.
        if stalled_cpu >= patience || stalled >= patience * 5 {
            signals::interrupt(&thread, Exceeded::Time(executions), cpu_time);
        }
        let resident = resident_mib();
        if flags.memory > 0 && resident > flags.memory {
            let exceeded = Exceeded::Memory { used: resident, limit: flags.memory };
            signals::interrupt(&thread, exceeded, cpu_time);
        }
        if told.elapsed() >= Duration::from_secs(1) {
            told = Instant::now();
            shared.say("pulse ");
        }
    }
    // It has ended: there is nothing more to say than how often it ran.
    let failed = thread.join().is_err();
    say!("stat::number_of_executed_units: {}", shared.mailbox.executions());
    end(i32::from(failed))
}

impl Shared {
    fn say(&self, event: &str) {
        // A line among those of a stack would be taken for one of its frames.
        if signals::is_dying() {
            return;
        }
        let executions = self.mailbox.executions();
        let rate = u128::from(executions) * 1000 / self.begin.elapsed().as_millis().max(1);
        let load = |value: &AtomicUsize| value.load(Ordering::Relaxed);
        say!(
            "#{executions}\t{event} cov: {} ft: {} corp: {}/{}b lim: {} exec/s: {rate} rss: {}Mb",
            load(&self.edges),
            load(&self.features),
            load(&self.corpus),
            load(&self.corpus_bytes),
            load(&self.limit),
            resident_mib(),
        );
    }

    fn set(&self, status: EngineStatus) {
        self.edges.store(status.edges, Ordering::Relaxed);
        self.features.store(status.features, Ordering::Relaxed);
        self.corpus.store(status.corpus, Ordering::Relaxed);
        self.corpus_bytes.store(status.corpus_bytes, Ordering::Relaxed);
        self.limit.store(status.limit, Ordering::Relaxed);
    }
}

struct Fuzzing {
    flags: Flags,
    target: Closure,
    engine: Box<dyn Engine>,
    counters: Counters,
    shared: Arc<Shared>,
    /// Panics that were told of, by place.
    panics: Panics,
    hits: Vec<(u32, u8)>,
    /// Names of files of the corpus that were read or written.
    known: HashSet<PathBuf>,
    /// Whether the clock is looked at after each run: that costs as much as a short run does.
    timed: bool,
    clock: Instant,
    /// Whether CPU time is looked at before each run too.
    exact: bool,
    /// CPU time of the process when the length of runs was judged last.
    judged: Duration,
}

impl Fuzzing {
    fn new(
        flags: &Flags,
        target: Closure,
        engine: EngineFactory,
        seed: u64,
        counters: Counters,
        shared: Arc<Shared>,
    ) -> Self {
        let mut options = EngineOptions::new(seed);
        options.repeat = flags.repeat;
        options.base = Some(words::made_of);
        options.longest = flags.longest.unwrap_or(options.longest).min(LONGEST);
        if let Some(text) = flags.words.as_ref().and_then(|path| fs::read_to_string(path).ok()) {
            options.words = words(&text);
        }
        Self {
            flags: flags.clone(),
            target,
            engine: engine(options),
            counters,
            shared,
            panics: Panics::listen(),
            hits: Vec::new(),
            known: HashSet::new(),
            timed: true,
            clock: Instant::now(),
            exact: true,
            judged: cpu_time(),
        }
    }

    fn run(&mut self) {
        let corpora: Vec<PathBuf> = self.flags.inputs.iter().filter(|path| path.is_dir()).cloned().collect();
        self.once(&[]);
        for corpus in &corpora {
            self.read(corpus);
        }
        self.shared.set(self.engine.status());
        self.shared.say("INITED");
        let until = self.flags.seconds.map(|seconds| self.shared.begin + Duration::from_secs(seconds));
        let mut input = Vec::new();
        let (mut runs, mut looked) = (0_u64, Instant::now());
        let reload = self.flags.reload.map(Duration::from_secs);
        let mut reloaded = looked;
        loop {
            if self.flags.runs.is_some_and(|most| self.shared.mailbox.executions() >= most) {
                break;
            }
            runs += 1;
            if self.timed || runs.is_multiple_of(BLIND) {
                let now = if self.timed { self.clock } else { Instant::now() };
                if until.is_some_and(|until| now >= until) {
                    break;
                }
                if now.duration_since(looked) >= Duration::from_secs(1) {
                    looked = now;
                    self.shared.set(self.engine.status());
                    if let (Some(corpus), Some(reload)) = (corpora.first(), reload)
                        && now.duration_since(reloaded) >= reload
                    {
                        reloaded = now;
                        self.read(corpus);
                    }
                }
            }
            if runs.is_multiple_of(u64::from(PACE)) {
                self.pace();
            }
            self.engine.next(&mut input);
            if self.once(&input) {
                self.write(corpora.first(), &input);
            }
        }
        self.shared.set(self.engine.status());
        self.shared.say("DONE  ");
    }

    /// Looks at the clock after each run where that costs little: by CPU time, because a busy machine makes no run longer.
    fn pace(&mut self) {
        let now = cpu_time();
        let each = now.saturating_sub(std::mem::replace(&mut self.judged, now)) / PACE;
        let timed = each > Duration::from_micros(if self.timed { 1 } else { 2 });
        if timed && !self.timed {
            self.clock = Instant::now();
        }
        self.timed = timed;
        self.exact = each > EXACT;
    }

    /// Whether the run that has just ended was slow, by the CPU time at its begin. Without it, one that the machine let wait is not
    /// told from another, but for such a while it lets none.
    fn is_slow(&mut self, begun: Option<Duration>) -> bool {
        if !self.timed {
            return false;
        }
        let now = Instant::now();
        let took = now.duration_since(std::mem::replace(&mut self.clock, now));
        took > SLOW && begun.map_or(took > SLOW * 10, |begun| cpu_time().saturating_sub(begun) > SLOW)
    }

    /// Runs the target once and says whether the input is worth keeping.
    fn once(&mut self, input: &[u8]) -> bool {
        let target = &*self.target;
        let begun = self.exact.then(cpu_time);
        self.shared.mailbox.begin(input);
        compares::listen(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        compares::listen(false);
        self.shared.mailbox.end();
        let slow = self.is_slow(begun);
        self.hits.clear();
        let hits = &mut self.hits;
        self.counters.take(|counter, count| hits.push((counter, count)));
        let panicked = outcome.is_err() || self.panics.is_pending();
        if panicked {
            if let Some(panic) = self.panics.take() {
                // How many runs it took.
                self.shared.say("pulse ");
                panic.tell(&self.flags.prefix, input);
            }
            // What unwinding itself reached is not what the input reached.
            self.counters.clear();
            return false;
        }
        self.engine.learn(input, &Observation { hits: &self.hits, slow })
    }

    /// Runs what is new in a directory, the shortest first.
    fn read(&mut self, directory: &Path) {
        let mut files: Vec<(u64, PathBuf)> = fs::read_dir(directory)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| (entry.path(), entry))
            .filter(|(path, _)| !self.known.contains(path))
            .filter_map(|(path, entry)| {
                Some((entry.metadata().ok().filter(fs::Metadata::is_file)?.len(), path))
            })
            .collect();
        files.sort();
        for (_, path) in files {
            if let Ok(input) = read_at_most(&path) {
                self.once(&input);
            }
            self.known.insert(path);
        }
    }

    fn write(&mut self, corpus: Option<&PathBuf>, input: &[u8]) {
        if let Some(corpus) = corpus {
            let path = corpus.join(&blake3::hash(input).to_hex()[..40]);
            // A full disk costs the input, not the campaign.
            if fs::write(&path, input).is_ok() {
                self.known.insert(path);
            }
        }
    }
}

fn read_at_most(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > LONGEST as u64 {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    fs::read(path)
}

/// What the hook saw of a panic.
#[derive(Debug, Default)]
struct Panic {
    place: String,
    words: String,
}

#[derive(Debug, Default)]
struct Pending {
    any: AtomicBool,
    /// The first since the last look: of several, it is the cause.
    first: Mutex<Option<Panic>>,
}

/// Panics of the target, on whatever thread.
struct Panics {
    pending: Arc<Pending>,
    told: HashSet<String>,
}

impl Panics {
    /// Replaces the hook of the program: panics are survived, and thousands in a second need not be printed.
    fn listen() -> Self {
        let pending = Arc::<Pending>::default();
        let slot = Arc::clone(&pending);
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            let words = info.payload_as_str().unwrap_or("Box<dyn Any>").to_owned();
            slot.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(Panic { place, words });
            slot.any.store(true, Ordering::Release);
        }));
        Self { pending, told: HashSet::new() }
    }

    fn is_pending(&self) -> bool {
        self.pending.any.load(Ordering::Acquire)
    }

    /// The panic that is pending, if its place is new.
    fn take(&mut self) -> Option<Panic> {
        self.pending.any.store(false, Ordering::Relaxed);
        let pending = self.pending.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        Some(pending.unwrap_or_default()).filter(|panic| self.told.insert(panic.place.clone()))
    }
}

impl Panic {
    /// Tells of it and keeps its input.
    fn tell(&self, prefix: &str, input: &[u8]) {
        let Self { place, words } = self;
        say!("{CAUGHT}");
        say!("\nthread 'fuzz' panicked at {place}:\n{words}");
        words::keep(prefix, "crash", input);
    }
}

/// Ends the process, which is all that a child does besides fuzzing.
#[allow(clippy::exit, reason = "a child must not return into the program that it is a copy of")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

/// CPU time of the process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Resident memory of the process, without an allocation: the thread that fuzzes may wait with the allocator's lock.
fn resident_mib() -> u64 {
    let mut bytes = [0; 128];
    let len = fs::File::open("/proc/self/statm").and_then(|mut file| file.read(&mut bytes)).unwrap_or(0);
    let text = str::from_utf8(&bytes[..len]).unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    (pages.unwrap_or_default() * rustix::param::page_size() as u64) >> 20
}
