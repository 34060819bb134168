//! The level `container`: a process in a container of an engine, Docker or Podman, that is asked over its socket.
//!
//! ```text
//! host -> engine -> init program of the engine -> program
//!      \-> guardian (holds the lifeline, has the engine remove the container)
//! ```
//!
//! Without an image of its own a program sees the host's system and what it is granted, as in the sandbox: an image without a file,
//! into which these are mounted. It ends when its output does, for the init program holds that open.

mod attach;
mod engine;
mod guardian;
mod mounts;
mod owner;
mod request;
mod socket;
mod survivor;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::to_vec;
use tokio::io::{AsyncWriteExt, duplex, split};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use self::attach::AHEAD;
use self::engine::Engine;
use self::guardian::Guardian;
use self::survivor::Survivor;
use self::wire::WireError;
use super::drive::{Following, LINES_AHEAD, Outcome, Pump, Reading};
use super::running::{CutOnDrop, Lifeline, Signals};
use super::{
    Capability, Layer, Level, ProcessError, Running, Spec, Status, Stdin, Stream, Usage, disk, plan,
};
use crate::error_chain;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

/// How long an engine may take to say how a container ended whose output did, and to kill one.
const END: Duration = Duration::from_secs(20);
/// How long one that did not answer may take to remove it.
const LOST: Duration = Duration::from_secs(2);
/// Between two looks at how it ended.
const LOOK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

pub(super) async fn start(
    spec: Spec,
    cancel: &CancellationToken,
    lines: bool,
) -> Result<Running, ProcessError> {
    let socket = match &spec.engine {
        Some(socket) => socket.clone(),
        None => socket::find(|name| std::env::var_os(name))?,
    };
    let engine = Engine::at(&socket).await?;
    start_on(engine, spec, cancel, lines, END).await
}

async fn start_on(
    engine: Arc<Engine>,
    spec: Spec,
    cancel: &CancellationToken,
    lines: bool,
    end: Duration,
) -> Result<Running, ProcessError> {
    let tool = spec.program.to_string_lossy().into_owned();
    let failed = |stage, source| ProcessError::Start { tool: tool.clone(), stage, source };
    let name = format!("crashwise-{}", Uuid::now_v7().simple());
    let disk = disk::Watch::of(&spec)?;
    let prepared = {
        let (engine, spec, name) = (Arc::clone(&engine), spec.clone(), name.clone());
        tokio::task::spawn_blocking(move || {
            let request = request::prepare(&spec, &engine.facts)?;
            plan::require(&spec, &request.enforcement, true)?;
            Ok((request, Guardian::start(&engine.wire.socket, &name)))
        })
    };
    let prepared =
        prepared.await.map_err(|error| failed("preparing a container", io::Error::other(error)))?;
    let (mut request, guardian) = prepared?;
    let mut guardian = guardian.map_err(|error| failed("starting the guardian of the container", error))?;

    let body = to_vec(&request.body).map_err(|error| failed("preparing a container", error.into()))?;
    let warnings = match engine.create(&name, spec.image.as_deref(), &body).await {
        Ok(warnings) => warnings,
        Err(error) => {
            // Without an answer it may yet come to be.
            if answered(&error) {
                guardian.made();
            }
            return Err(error);
        }
    };
    guardian.made();
    request.warned(&warnings);
    let begun = async {
        plan::require(&spec, &request.enforcement, true)?;
        let stream = engine.attach(&name, !matches!(spec.stdin, Stdin::Null)).await?;
        engine.start(&name).await?;
        // Before anybody sees what the program does: from then on the engine may be killed. One that is over already has no process.
        let survivor = engine.inspect(&name).await.ok().and_then(|(id, state)| Survivor::of(state.pid, &id));
        Ok((stream, survivor))
    };
    let started = Instant::now();
    let (stream, survivor) = match begun.await {
        Ok(begun) => begun,
        Err(error) => {
            let _ = tokio::time::timeout(end, guardian.remove()).await;
            return Err(error);
        }
    };

    let (from, mut input) = split(stream);
    if let Stdin::Bytes(bytes) = spec.stdin.clone() {
        tokio::spawn(async move {
            // A program that does not read its input closes it: its own affair.
            if input.write_all(&bytes).await.is_ok() {
                let _ = input.shutdown().await;
            }
        });
    }
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let sender = lines.then_some(sender);
    let dead = CancellationToken::new();
    let ((out, from_out), (err, from_err)) = (duplex(AHEAD), duplex(AHEAD));
    let reading = Reading::of(&spec);
    let pump =
        |from, stream| Pump::start(Some(from), reading, sender.clone().map(|to| (to, stream)), dead.clone());
    let (stdout, stderr) = (pump(from_out, Stream::Out), pump(from_err, Stream::Err));
    drop(sender);

    let (lifeline, removed) = guardian.into_parts();
    let (tell, outcome) = oneshot::channel();
    let watch = Watch {
        output: AbortOnDropHandle::new(tokio::spawn(attach::part(from, out, err))),
        engine: Arc::clone(&engine),
        name: name.clone(),
        lifeline: lifeline.clone(),
        removed,
        survivor,
        limited: spec.limits.memory.is_some(),
        end,
    };
    tokio::spawn(async move {
        let _ = tell.send(watch.follow(started).await);
    });
    let following = Following { lifeline: lifeline.clone(), outcome, dead };
    Ok(Running {
        signals: Signals::Container(Signaller { engine, name, runtime: tokio::runtime::Handle::current() }),
        cut: CutOnDrop(lifeline),
        lines: lines.then_some(receiver),
        driver: tokio::spawn(following.follow(cancel.clone(), spec.deadline, disk)),
        stdout,
        stderr,
        enforcement: request.enforcement,
    })
}

fn answered(error: &ProcessError) -> bool {
    match error {
        ProcessError::Engine { source, .. } => {
            let said = source.get_ref().and_then(|source| source.downcast_ref::<WireError>());
            said.is_some_and(|error| error.status().is_some())
        }
        _ => true,
    }
}

/// Sends signals to the program of a container, whose init program passes them on.
#[derive(Debug)]
pub(super) struct Signaller {
    engine: Arc<Engine>,
    name: String,
    runtime: tokio::runtime::Handle,
}

impl Signaller {
    /// Returns at once. One that does not arrive is as one that the program ignores.
    pub(super) fn send(&self, signal: i32) {
        let (engine, name) = (Arc::clone(&self.engine), self.name.clone());
        self.runtime.spawn(async move { engine.kill(&name, &signal.to_string()).await });
    }
}

/// Follows a container to its end and has it removed.
struct Watch {
    output: AbortOnDropHandle<io::Result<()>>,
    engine: Arc<Engine>,
    name: String,
    lifeline: Lifeline,
    removed: oneshot::Receiver<bool>,
    survivor: Option<Survivor>,
    limited: bool,
    end: Duration,
}

impl Watch {
    async fn follow(mut self, started: Instant) -> Outcome {
        let overdue = async {
            self.lifeline.is_cut().await;
            tokio::time::sleep(self.end).await;
        };
        let whole = tokio::select! {
            ended = &mut self.output => matches!(ended, Ok(Ok(()))),
            () = overdue => false,
        };
        let wall = started.elapsed();
        let ended = self.ended().await;
        if ended.is_none() {
            self.survivor.iter().for_each(Survivor::kill);
        }
        let killed = self.lifeline.was_cut();
        // From here on nobody but the guardian asks about it.
        self.lifeline.cut();
        // An engine that did not answer is not waited for once more; the guardian goes on asking it.
        let patience = if ended.is_some() { self.end } else { self.end.min(LOST) };
        let removed =
            tokio::time::timeout(patience, &mut self.removed).await.is_ok_and(|gone| gone == Ok(true));
        if !removed {
            self.survivor.iter().for_each(Survivor::kill);
        }
        let (status, mut out_of_memory) = match ended {
            Some(Ended::Gone | Ended::Code { code: KILLED, .. }) if killed => {
                (Status::Signal(libc::SIGKILL), false)
            }
            Some(Ended::Code { code, out_of_memory }) if whole => (Status::from_shell(code), out_of_memory),
            // Of what a stranger removed nothing is known, and a log that is not whole may lack the report of a crash.
            _ => (Status::Unknown, false),
        };
        // Podman says of none that it ran out of memory; nobody else kills it unasked.
        out_of_memory |= self.limited && status == Status::Signal(libc::SIGKILL);
        let memory_kills = u64::from(out_of_memory && !killed);
        Outcome { status, usage: Usage { wall, ..Usage::default() }, memory_kills }
    }

    /// How it ended, once its output has. Nothing if the engine does not say, or it goes on without anybody who sees its output.
    async fn ended(&self) -> Option<Ended> {
        let asking = async {
            let mut pause = LOOK[0];
            loop {
                match self.engine.inspect(&self.name).await {
                    Ok((_, state)) if state.is_over() => {
                        return Ended::Code { code: state.exit_code, out_of_memory: state.out_of_memory };
                    }
                    Err(error) if error.status() == Some(404) => return Ended::Gone,
                    Ok(_) | Err(_) => {}
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LOOK[1]);
            }
        };
        tokio::time::timeout(self.end, asking).await.ok()
    }
}

/// What the engine says of a container that it killed.
const KILLED: i32 = 128 + libc::SIGKILL;

enum Ended {
    Code {
        code: i32,
        out_of_memory: bool,
    },
    /// Somebody removed it: the guardian, or a stranger.
    Gone,
}

/// What the engine of this machine is and enforces, found out by a container that does nothing; the reason if there is none.
pub(super) async fn probe() -> Vec<Capability> {
    let capability = |name: &str, available, detail| Capability { name: name.to_owned(), available, detail };
    let engine = match socket::find(|name| std::env::var_os(name)) {
        Ok(socket) => Engine::at(&socket).await,
        Err(error) => Err(error),
    };
    let facts = match &engine {
        Ok(engine) => &engine.facts,
        Err(error) => return vec![capability("containers", false, why_not(error))],
    };
    let rights = if facts.rootless { "rootless" } else { "with the rights of root" };
    let socket = engine.as_ref().map(|engine| engine.wire.socket.display().to_string()).unwrap_or_default();
    let found = format!("{} {}, {rights}, at {socket}", facts.name, facts.version);
    let limits = super::Limits::new().with_memory(1 << 30).with_processes(64).with_cores(1.0);
    let spec = Spec::new("true").level(Level::Container).limits(limits).deadline(END);
    let exit = match spec.run(&CancellationToken::new()).await {
        Ok(exit) => exit,
        Err(error) => {
            return vec![capability("containers", false, format!("{found}: {}", why_not(&error)))];
        }
    };
    if !exit.status.success() {
        let said = exit.stderr.text();
        let why = format!("{found}: a container ended with {} {}", exit.status, said.trim());
        return vec![capability("containers", false, why)];
    }
    let mut all = vec![capability("containers", true, found)];
    for layer in [Layer::Memory, Layer::Processes, Layer::Cores, Layer::Syscalls] {
        let name = format!("{layer} of containers");
        all.push(match exit.enforcement.means(layer) {
            Some(super::Means::Missing(reason)) => capability(&name, false, reason.clone()),
            _ => capability(&name, true, "by the engine".to_owned()),
        });
    }
    all.push(capability("init program of containers", true, "passes signals on".to_owned()));
    all
}

fn why_not(error: &ProcessError) -> String {
    match error {
        ProcessError::NoContainers { reason } => reason.clone(),
        error => error_chain(error),
    }
}
