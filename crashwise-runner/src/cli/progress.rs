//! What a run is doing: bars on a terminal, lines elsewhere.

use super::terminal::{Terminal, plain};
use crate::{RunEvent, RunEventKind, RunnerBuilder};
use crashwise_core::cache::CacheListener;
use crashwise_core::{Stats, StatsEvent};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(10);

/// What a run is doing. Clones show the same.
#[derive(Clone)]
pub(super) struct Progress {
    view: Option<Arc<Mutex<View>>>,
    durable: bool,
}

enum View {
    Bars { all: MultiProgress, steps: BTreeMap<String, ProgressBar> },
    Lines { last: BTreeMap<String, Instant> },
}

impl Progress {
    pub(super) fn new(terminal: &Terminal, durable: bool) -> Self {
        let view = if !terminal.shows_progress() {
            None
        } else if terminal.draws() {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            Some(View::Bars { all, steps: BTreeMap::new() })
        } else {
            Some(View::Lines { last: BTreeMap::new() })
        };
        Self { view: view.map(|view| Arc::new(Mutex::new(view))), durable }
    }

    /// Lets a runner tell what happens.
    pub(super) fn attach(&self, builder: RunnerBuilder) -> RunnerBuilder {
        let Some(view) = &self.view else { return builder };
        let durable = self.durable;
        let (events, stats) = (Arc::clone(view), Arc::clone(view));
        builder
            .on_event(move |event: &RunEvent| {
                events.lock().unwrap_or_else(PoisonError::into_inner).event(event, durable);
            })
            .on_stats(move |event: &StatsEvent| {
                stats.lock().unwrap_or_else(PoisonError::into_inner).stats(event);
            })
    }

    /// Tells what happens in a run that is carried out elsewhere.
    #[cfg(feature = "temporal")]
    pub(super) fn seen(&self, seen: &crate::temporal::Seen) {
        use crate::temporal::Seen;
        let Some(view) = &self.view else { return };
        let mut view = view.lock().unwrap_or_else(PoisonError::into_inner);
        match seen {
            Seen::Event(event) => view.event(event, self.durable),
            Seen::Stats(event) => view.stats(event),
            Seen::Stuck(why) => view.tell(why),
        }
    }

    /// Tells of a cache what it does.
    pub(super) fn cache_listener(&self) -> Option<CacheListener> {
        let view = Arc::clone(self.view.as_ref()?);
        Some(Arc::new(move |event| {
            view.lock().unwrap_or_else(PoisonError::into_inner).tell(&event.to_string());
        }))
    }

    /// Takes everything off the terminal.
    pub(super) fn finish(&self) {
        if let Some(view) = &self.view
            && let View::Bars { all, steps } = &mut *view.lock().unwrap_or_else(PoisonError::into_inner)
        {
            for bar in std::mem::take(steps).into_values() {
                bar.finish_and_clear();
            }
            // A terminal that cannot be cleared keeps its last bars.
            let _ = all.clear();
        }
    }
}

impl View {
    fn event(&mut self, event: &RunEvent, durable: bool) {
        match &event.kind {
            RunEventKind::StepStarted { step, module, attempt: 1, .. } => self.begin(step.as_str(), module),
            RunEventKind::StepRetried { step, attempt, error, wait } => {
                let wait = crashwise_core::Span::new(*wait);
                self.say(
                    step.as_str(),
                    &format!("attempt {attempt} failed, the next one in {wait}: {error}"),
                );
            }
            RunEventKind::StepCompleted { step, counts, duration, cached, .. } => {
                let found = match counts.total() {
                    0 => "no findings".to_owned(),
                    1 => "1 finding".to_owned(),
                    many => format!("{many} findings"),
                };
                let cached = if *cached { ", from the cache" } else { "" };
                self.end(step.as_str(), &format!("done in {}{cached}, {found}", seconds(*duration)));
            }
            RunEventKind::StepFailed { step, error, .. } => {
                self.end(step.as_str(), &format!("failed: {error}"));
            }
            RunEventKind::StepSkipped { step } => self.say(step.as_str(), "skipped"),
            RunEventKind::ApprovalRequested { name, prompt } => {
                self.say(name, &format!("waits for approval: {prompt}"));
                if durable {
                    self.say(
                        name,
                        &format!("answer with `crashwise runs approve {} {name}`, or reject", event.run_id),
                    );
                }
            }
            RunEventKind::ApprovalDecided { name, decision } => {
                let word = if decision.approved { "approved" } else { "rejected" };
                self.say(name, &format!("{word} by {}", decision.by));
            }
            RunEventKind::RunPaused => self.say("run", "paused"),
            RunEventKind::RunResumed => self.say("run", "resumed"),
            _ => {}
        }
    }

    fn begin(&mut self, step: &str, module: &str) {
        match self {
            Self::Bars { all, steps } => {
                let bar = all.add(ProgressBar::new_spinner().with_style(spinner()));
                bar.set_prefix(plain(step));
                bar.enable_steady_tick(Duration::from_millis(120));
                steps.insert(step.to_owned(), bar);
            }
            Self::Lines { .. } if module.is_empty() => line(&format!("{step}: begins")),
            Self::Lines { .. } => line(&format!("{step}: {module} begins")),
        }
    }

    fn end(&mut self, step: &str, text: &str) {
        match self {
            Self::Bars { all, steps } => {
                if let Some(bar) = steps.remove(step) {
                    bar.finish_and_clear();
                    all.remove(&bar);
                }
                // The bars are drawn again below the line.
                let _ = all.println(plain(&format!("{step}: {text}")));
            }
            Self::Lines { last } => {
                last.remove(step);
                line(&format!("{step}: {text}"));
            }
        }
    }

    fn say(&mut self, who: &str, text: &str) {
        self.tell(&format!("{who}: {text}"));
    }

    fn tell(&mut self, text: &str) {
        let text = plain(text);
        match self {
            Self::Bars { all, .. } => drop(all.println(text)),
            Self::Lines { .. } => line(&text),
        }
    }

    fn stats(&mut self, event: &StatsEvent) {
        let (percent, text) = describe(&event.stats);
        match self {
            Self::Bars { steps, .. } => {
                let Some(bar) = steps.get(&event.step) else { return };
                if let Some(percent) = percent.filter(|percent| *percent > 0.0) {
                    if bar.length().is_none() {
                        bar.set_length(1000);
                        bar.set_style(measured());
                    }
                    #[allow(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "within 0 to 1000"
                    )]
                    bar.set_position((percent.clamp(0.0, 100.0) * 10.0) as u64);
                }
                bar.set_message(plain(&text));
            }
            Self::Lines { last } => {
                let now = Instant::now();
                let due = last.entry(event.step.clone()).or_insert(now);
                if now.duration_since(*due) >= LINE_EVERY {
                    *due = now;
                    line(&format!("{}: {}", event.step, statistics(&event.stats)));
                }
            }
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix} {elapsed} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn measured() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {prefix} {elapsed} [{bar:20}] {percent:>3}% {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// Percent done, when known, and a line.
fn describe(stats: &Stats) -> (Option<f64>, String) {
    match stats {
        Stats::ScanProgress {
            files_scanned, vulnerabilities_found, scan_percentage, current_file, ..
        } => (
            Some(*scan_percentage),
            format!("{files_scanned} files, {vulnerabilities_found} findings {current_file}"),
        ),
        Stats::AnalysisUpdate { functions_analyzed, issues_found, current_module, .. } => {
            (None, format!("{functions_analyzed} analysed, {issues_found} findings {current_module}"))
        }
        Stats::FuzzingLiveUpdate {
            executions,
            executions_per_sec,
            unique_crashes,
            corpus_size,
            coverage,
            ..
        } => {
            let coverage = coverage.map(|share| format!(", coverage {share:.1} %")).unwrap_or_default();
            let text = format!(
                "{executions} executions, {executions_per_sec:.0}/s, {unique_crashes} crashes, corpus {corpus_size}{coverage}"
            );
            (None, text)
        }
        Stats::LiveStats { progress, items_processed, errors, .. } => {
            let errors = if *errors == 0 { String::new() } else { format!(", {errors} errors") };
            (Some(*progress), format!("{items_processed} done{errors}"))
        }
        _ => (None, String::new()),
    }
}

/// Statistics as a line.
pub(super) fn statistics(stats: &Stats) -> String {
    let (percent, text) = describe(stats);
    match percent.filter(|percent| *percent > 0.0) {
        Some(percent) => format!("{percent:.0} %, {text}"),
        None => text,
    }
}

pub(super) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1.0 {
        format!("{} ms", time.as_millis())
    } else if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        crashwise_core::Span::new(Duration::from_secs(time.as_secs())).to_string()
    }
}

fn line(text: &str) {
    // Progress that nobody reads is no loss.
    let _ = writeln!(std::io::stderr().lock(), "{}", plain(text));
}
