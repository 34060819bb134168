//! Takes what a running step pushes.

use crate::results::ResultStore;
use crashwise_core::workflow::{RunInfo, StepKey};
use crashwise_core::{
    ArtifactRef, Finding, FindingSpool, ModuleHost, ModuleOutput, Stats, StatsEvent, StatsFeed,
};
use serde_json::Value;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

/// When a step last said that it is alive, and what with. Shared with whoever watches the step.
pub(crate) type Beat = Arc<Mutex<(Instant, Option<Value>)>>;

/// A beat of a step that begins now.
pub(crate) fn first_beat() -> Beat {
    Arc::new(Mutex::new((Instant::now(), None)))
}

/// Takes what one attempt of a step pushes.
pub(crate) struct Host {
    results: ResultStore,
    stats: StatsFeed,
    run: Arc<RunInfo>,
    step: StepKey,
    spool: RwLock<Spool>,
    beat: Beat,
}

enum Spool {
    Empty,
    Open(FindingSpool),
    /// The attempt is over; what comes now comes too late.
    Closed,
}

impl Host {
    pub(crate) fn new(
        results: ResultStore,
        stats: StatsFeed,
        run: Arc<RunInfo>,
        step: StepKey,
        beat: Beat,
    ) -> Self {
        Self { results, stats, run, step, spool: RwLock::new(Spool::Empty), beat }
    }

    /// When the step last said that it is alive.
    pub(crate) fn last_beat(&self) -> Instant {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    pub(crate) fn take_details(&self) -> Option<Value> {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).1.take()
    }

    /// Whether there are findings to be kept.
    pub(crate) fn has_findings(&self) -> bool {
        matches!(*self.spool.read().unwrap_or_else(PoisonError::into_inner), Spool::Open(_))
    }

    /// Takes no more, and stores the findings so far. May use the disk.
    pub(crate) fn close(&self, output: &mut ModuleOutput) -> io::Result<()> {
        let spool = {
            let mut spool = self.spool.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *spool, Spool::Closed)
        };
        if let Spool::Open(spool) = spool {
            let (artifact, counts) =
                self.results.put_with("findings.jsonl", |mut out| spool.finish(&mut out))?;
            output.findings = Some(artifact);
            output.counts = counts;
        }
        Ok(())
    }
}

fn too_late() -> io::Error {
    io::Error::other("the step is over")
}

impl ModuleHost for Host {
    fn report(&self, finding: Finding) -> io::Result<()> {
        {
            let spool = self.spool.read().unwrap_or_else(PoisonError::into_inner);
            match &*spool {
                Spool::Open(spool) => return spool.push(finding),
                Spool::Closed => return Err(too_late()),
                Spool::Empty => {}
            }
        }
        let mut spool = self.spool.write().unwrap_or_else(PoisonError::into_inner);
        if matches!(*spool, Spool::Empty) {
            *spool = Spool::Open(FindingSpool::new(self.results.unnamed()?));
        }
        match &*spool {
            Spool::Open(spool) => spool.push(finding),
            Spool::Empty | Spool::Closed => Err(too_late()),
        }
    }

    fn stats(&self, stats: Stats) {
        self.stats.push(StatsEvent {
            run_id: self.run.run.clone(),
            workflow_type: self.run.workflow.clone(),
            step: self.step.as_str().to_owned(),
            stats,
        });
    }

    fn heartbeat(&self, details: Value) {
        *self.beat.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), Some(details));
    }

    fn store(&self, name: &str, content: &mut dyn Read) -> io::Result<ArtifactRef> {
        self.results.put(name, content)
    }

    fn store_bytes(&self, name: &str, content: Vec<u8>) -> io::Result<ArtifactRef> {
        self.results.put_bytes(name, content)
    }

    fn open(&self, artifact: &ArtifactRef) -> io::Result<Box<dyn Read + Send>> {
        self.results.open(artifact)
    }
}
