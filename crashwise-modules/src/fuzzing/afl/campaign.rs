//! Instances of `afl-fuzz` on one target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crashwise_core::process::{Cause, Exit, ProcessError};
use crashwise_core::read_regular;
use futures::future::join_all;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stats::{Pace, Stats};
use super::tools::{AflTarget, folder};
use crate::fuzzing::libfuzzer::{ArtifactKind, CampaignEvent, Progress, Replay, Totals, tail};

/// The most crashes and hangs of one campaign that are run again.
const MOST: usize = 2000;
/// The longest input, in bytes.
pub(super) const LONGEST: u64 = 1 << 20;

/// One target, fuzzed for a while by one instance or several.
#[derive(Debug)]
pub(in crate::fuzzing) struct AflCampaign<'a> {
    pub(in crate::fuzzing) target: &'a AflTarget,
    pub(in crate::fuzzing) replay: &'a Replay,
    /// Where the corpus is kept and grows.
    pub(in crate::fuzzing) corpus: &'a Path,
    pub(in crate::fuzzing) work: PathBuf,
    pub(in crate::fuzzing) dictionary: Option<&'a Path>,
    pub(in crate::fuzzing) budget: Duration,
    pub(in crate::fuzzing) executions: Option<u64>,
    pub(in crate::fuzzing) jobs: usize,
    pub(in crate::fuzzing) seed: u32,
}

/// What was seen of the instances' folders.
struct Looked {
    files: BTreeSet<PathBuf>,
    progress: Progress,
    last_find: Option<Instant>,
    hung: bool,
    /// How fast each instance is.
    paces: Vec<Pace>,
}

impl AflCampaign<'_> {
    /// Fuzzes until the budget is used up or `cancel` is cancelled.
    ///
    /// # Errors
    /// [`ProcessError`] if `afl-fuzz` cannot be started at all.
    pub(in crate::fuzzing) async fn run(
        &self,
        cancel: &CancellationToken,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<Totals, ProcessError> {
        let (seeds, out) = (self.work.join("seeds"), self.work.join("out"));
        for path in [self.corpus, &seeds, &out] {
            folder(path)?;
        }
        self.sow(&seeds)?;
        let begin = Instant::now();
        let ended = CancellationToken::new();
        let instances = async {
            let exits = join_all((0..self.jobs).map(|job| self.instance(job, &seeds, &out, cancel))).await;
            ended.cancel();
            exits.into_iter().collect::<Result<Vec<Exit>, _>>()
        };
        let look = async {
            let mut looked = Looked {
                files: BTreeSet::new(),
                progress: Progress::default(),
                last_find: None,
                hung: false,
                paces: (0..self.jobs).map(|_| Pace::default()).collect(),
            };
            loop {
                let last = tokio::select! {
                    () = ended.cancelled() => true,
                    () = tokio::time::sleep(Duration::from_secs(1)) => false,
                };
                self.look(&out, begin, &mut looked, last, (cancel, events)).await?;
                // A slow listener loses ticks, not crashes.
                let _ = events.try_send(CampaignEvent::Progress(looked.progress));
                if last {
                    return Ok::<Progress, ProcessError>(looked.progress);
                }
            }
        };
        let (exits, last) = tokio::join!(instances, look);
        let (exits, last) = (exits?, last?);
        let unwell = exits.iter().find(|exit| exit.cause == Cause::Own && !exit.status.success());
        let cut_short = unwell.filter(|_| !cancel.is_cancelled()).map(|exit| {
            let text = [exit.stdout.text(), exit.stderr.text()].concat();
            let aborted = text.lines().find(|line| line.contains("PROGRAM ABORT"));
            let why = aborted.map_or_else(|| tail(&text), |line| plain(line.trim()));
            format!("afl-fuzz ended early ({}): {why}", exit.status)
        });
        Ok(Totals { last, rounds: self.jobs as u64, cut_short, ..Totals::default() })
    }

    /// Seeds that do not crash, for it ends if all do: the corpus, and two plain inputs.
    fn sow(&self, seeds: &Path) -> Result<(), ProcessError> {
        let failed = |source| ProcessError::Directory { path: seeds.to_owned(), source };
        for (name, plain) in [("plain-0", &b"0"[..]), ("plain-1", b"\0\0\0\0\0\0\0\0")] {
            fs::write(seeds.join(name), plain).map_err(failed)?;
        }
        for entry in fs::read_dir(self.corpus).map_err(failed)?.flatten().take(100_000) {
            // AFL++ takes neither empty inputs nor those over a mebibyte.
            if let Ok(input) = read_regular(&entry.path(), LONGEST)
                && !input.is_empty()
            {
                fs::write(seeds.join(&blake3::hash(&input).to_hex()[..40]), input).map_err(failed)?;
            }
        }
        Ok(())
    }

    async fn instance(
        &self,
        job: usize,
        seeds: &Path,
        out: &Path,
        cancel: &CancellationToken,
    ) -> Result<Exit, ProcessError> {
        let seconds = self.budget.as_secs().max(1).to_string();
        let patience = format!("{}+", self.target.target.patience * 1000);
        let name = format!("job{job}");
        let seed = self.seed.wrapping_add(u32::try_from(job).unwrap_or(0)).max(1).to_string();
        let share = self.executions.map(|all| (all / self.jobs as u64).max(1).to_string());
        let (seeds, out_text) = (seeds.to_string_lossy(), out.to_string_lossy());
        let dictionary = self.dictionary.map(Path::to_string_lossy);
        let mut args: Vec<&str> =
            vec!["-i", &seeds, "-o", &out_text, "-m", "none", "-t", &patience, "-V", &seconds];
        args.extend([if job == 0 { "-M" } else { "-S" }, &name]);
        if self.seed != 0 {
            args.extend(["-s", &seed]);
        }
        if let Some(share) = &share {
            args.extend(["-E", share]);
        }
        if let Some(dictionary) = &dictionary {
            args.extend(["-x", dictionary]);
        }
        let directory = self.work.join(&name);
        folder(&directory)?;
        let mut spec = self.target.spec("afl-fuzz", &directory, &args).read(seeds.as_ref()).write(out);
        if let Some(dictionary) = self.dictionary {
            spec = spec.read(dictionary);
        }
        // It ends by itself; calibration of a slow target is not counted in its time.
        spec.deadline(self.budget + Duration::from_secs(10 + 2 * self.target.target.patience))
            .run(cancel)
            .await
    }

    /// Reads statistics, copies new inputs into the corpus, and runs new crashes and hangs once more for their reports.
    async fn look(
        &self,
        out: &Path,
        begin: Instant,
        looked: &mut Looked,
        last: bool,
        (cancel, events): (&CancellationToken, &mpsc::Sender<CampaignEvent>),
    ) -> Result<(), ProcessError> {
        let now = Instant::now();
        let all: Vec<Stats> = (0..self.jobs)
            .map(|job| {
                let place = out.join(format!("job{job}"));
                let own = read(&place.join("fuzzer_stats")).map(|text| Stats::parse(&text));
                let plot = read(&place.join("plot_data")).and_then(|text| Stats::parse_plot(&text));
                let written = own.into_iter().chain(plot).reduce(Stats::or).unwrap_or_default();
                let finds = || looked.files.iter().filter(|path| path.starts_with(&place));
                let queued =
                    finds().filter(|path| path.parent().is_some_and(|above| above.ends_with("queue")));
                let stats = written.with_finds(finds().filter_map(|path| path.file_name()?.to_str()));
                Stats { corpus: stats.corpus.max(queued.count() as u64), ..stats }
            })
            .collect();
        let most = |value: fn(&Stats) -> u64| all.iter().map(value).max().unwrap_or(0);
        let edges = most(|stats| stats.edges);
        let progress = &mut looked.progress;
        if edges > progress.edges {
            looked.last_find = Some(now);
        }
        for (stats, pace) in all.iter().zip(&mut looked.paces) {
            pace.hear(*stats, now);
        }
        let paces = || looked.paces.iter();
        progress.per_second = paces().map(Pace::per_second).sum();
        let silent = paces().filter_map(|pace| pace.stale_for(now)).max();
        progress.stale_for = silent.unwrap_or(progress.elapsed);
        progress.executions = if last {
            all.iter().map(|stats| stats.executions).sum()
        } else {
            paces().map(|pace| pace.executions(now)).sum::<u64>().max(progress.executions)
        };
        progress.edges = edges.max(progress.edges);
        progress.edges_total = most(|stats| stats.edges_total);
        progress.features = progress.edges;
        progress.corpus = most(|stats| stats.corpus);
        progress.stability = all.iter().filter_map(|stats| stats.stability).reduce(f64::min);
        progress.elapsed = now.saturating_duration_since(begin);
        progress.last_find = now.saturating_duration_since(looked.last_find.unwrap_or(begin));
        for job in 0..self.jobs {
            let place = out.join(format!("job{job}"));
            for path in fresh(&place.join("queue"), &mut looked.files) {
                if let Ok(input) = read_regular(&path, LONGEST) {
                    let name = blake3::hash(&input).to_hex();
                    let _ = fs::write(self.corpus.join(&name[..40]), input);
                }
            }
            for (sub, kind) in [("crashes", ArtifactKind::Crash), ("hangs", ArtifactKind::Timeout)] {
                for path in fresh(&place.join(sub), &mut looked.files) {
                    if cancel.is_cancelled() || (kind == ArtifactKind::Timeout && looked.hung) {
                        continue;
                    }
                    let Ok(input) = read_regular(&path, LONGEST) else { continue };
                    looked.progress.crashes += 1;
                    let replayed = self.replay.quick(&input, cancel).await?;
                    // Hangs have no stack, so one is as good as another.
                    looked.hung |= kind == ArtifactKind::Timeout && replayed.crashed;
                    let executions = looked.progress.executions;
                    if kind == ArtifactKind::Timeout && !replayed.crashed {
                        continue;
                    }
                    let crash = CampaignEvent::Crash {
                        native: false,
                        kind: Some(kind),
                        input: Some(input),
                        log: replayed.log,
                        executions,
                    };
                    if events.send(crash).await.is_err() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// The inputs of a folder that were not there before, by name: those that AFL++ found itself or began with.
fn fresh(folder: &Path, seen: &mut BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let many = folder.ends_with("crashes") || folder.ends_with("hangs");
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Those of another instance are looked at there.
        let own = name.starts_with("id:") && !name.contains(",sync:");
        let fits = |data: fs::Metadata| data.is_file() && data.len() <= LONGEST;
        if own && !seen.contains(&path) && fs::symlink_metadata(&path).is_ok_and(fits) {
            found.push(path);
        }
    }
    found.sort();
    found.truncate(if many { MOST } else { usize::MAX });
    seen.extend(found.iter().cloned());
    found
}

/// A small text file; what the instance writes, the target can write too.
fn read(path: &Path) -> Option<String> {
    String::from_utf8(read_regular(path, 16 << 20).ok()?).ok()
}

/// A line without the sequences that colour it.
fn plain(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text.trim().to_owned()
}
