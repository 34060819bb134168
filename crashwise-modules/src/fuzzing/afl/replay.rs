use std::fs;
use std::path::PathBuf;

use crashwise_core::process::ProcessError;
use crashwise_core::read_regular;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::campaign::{AflCampaign, LONGEST};
use crate::fuzzing::libfuzzer::{ArtifactKind, CampaignEvent, Totals};

impl AflCampaign<'_> {
    /// Runs the inputs of the corpus once, each in a process of its own, and makes no others.
    ///
    /// # Errors
    /// [`ProcessError`] if the target cannot be started at all.
    pub(in crate::fuzzing) async fn replay(
        &self,
        cancel: &CancellationToken,
        events: &mpsc::Sender<CampaignEvent>,
    ) -> Result<Totals, ProcessError> {
        let begin = Instant::now();
        let mut paths: Vec<PathBuf> =
            fs::read_dir(self.corpus).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        paths.sort();
        let mut totals = Totals { rounds: 1, ..Totals::default() };
        let last = &mut totals.last;
        last.corpus = paths.len() as u64;
        for path in &paths {
            if cancel.is_cancelled() {
                break;
            }
            if begin.elapsed() >= self.budget {
                let why = format!("there was time for {} of {} inputs", last.executions, paths.len());
                totals.cut_short = Some(why);
                break;
            }
            let Ok(input) = read_regular(path, LONGEST) else { continue };
            let replayed = self.replay.quick(&input, cancel).await?;
            last.executions += 1;
            last.elapsed = begin.elapsed();
            if replayed.crashed {
                last.crashes += 1;
                let crash = CampaignEvent::Crash {
                    kind: Some(ArtifactKind::Crash),
                    input: Some(input),
                    log: replayed.log,
                    executions: last.executions,
                    native: false,
                };
                if events.send(crash).await.is_err() {
                    break;
                }
            }
            let _ = events.try_send(CampaignEvent::Progress(*last));
        }
        Ok(totals)
    }
}
