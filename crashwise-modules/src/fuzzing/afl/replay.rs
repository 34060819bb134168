//! The inputs of a corpus, run once each.

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
            let Ok(input) = read_regular(path, LONGEST) else {
                let why =
                    format!("inputs that cannot be read or have more than {LONGEST} bytes are left out");
                totals.cut_short = Some(why);
                continue;
            };
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::fuzzing::afl::AflTarget;
    use crate::fuzzing::libfuzzer::{Replay, Target};
    use crate::fuzzing::triage::Scope;

    #[tokio::test]
    async fn each_input_is_run_once_and_what_is_too_long_is_told() {
        let place = tempfile::tempdir().expect("a folder");
        let (program, corpus) = (place.path().join("target.sh"), place.path().join("corpus"));
        let script = "#!/bin/sh\nfor input in \"$@\"; do :; done\ngrep -q boom \"$input\" || exit 0\n\
                      echo \"thread 'main' panicked at src/parse.rs:1:1:\" >&2\necho boom >&2\nkill -ABRT $$\n";
        fs::write(&program, script).expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("mode");
        fs::create_dir(&corpus).expect("a folder");
        let long = vec![b'x'; usize::try_from(LONGEST).expect("fits") + 1];
        for (name, input) in [("a", &b"boom"[..]), ("b", b"harmless"), ("c", &long)] {
            fs::write(corpus.join(name), input).expect("written");
        }
        let target = AflTarget { target: Target::new("demo", &program), args: vec!["@@".into()] };
        let replay = Replay::new(target.target.clone(), place.path().join("replay"), Scope::new());
        let campaign = AflCampaign {
            target: &target,
            replay: &replay,
            corpus: &corpus,
            work: place.path().join("work"),
            dictionary: None,
            budget: Duration::from_mins(5),
            executions: None,
            jobs: 1,
            seed: 1,
        };
        let (events, mut heard) = mpsc::channel(64);
        let totals = campaign.replay(&CancellationToken::new(), &events).await.expect("starts");
        drop(events);
        let mut crashed = Vec::new();
        while let Some(event) = heard.recv().await {
            if let CampaignEvent::Crash { input, .. } = event {
                crashed.push(input.expect("an input"));
            }
        }
        assert_eq!(crashed, [b"boom"]);
        assert_eq!((totals.last.executions, totals.last.crashes, totals.last.corpus), (2, 1, 3));
        assert!(totals.cut_short.is_some_and(|why| why.contains("1048576 bytes")));
    }
}
