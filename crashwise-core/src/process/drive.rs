//! Starts a prepared process and follows it to its end.

use std::fs;
use std::io::{self, PipeReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::cgroup::Group;
use super::plan::{self, Prepared, Stage};
use super::running::{CutOnDrop, LINGER, Lifeline, Signals};
use super::{
    Cause, Enforcement, Level, Line, Output, ProcessError, Running, Spec, Status, Stdin, Stream, Usage,
};
use super::{disk, supervisor, tool};
use crate::Protection;

const LINE_CAP: usize = 64 << 10;
pub(super) const LINES_AHEAD: usize = 1024;
/// A piece of output after which more is waited for: half of what a pipe holds, so that nobody who writes as fast is held up.
const LITTLE: usize = 32 << 10;
/// How long nothing is waited for after a larger one.
const LOUD: Duration = Duration::from_secs(5);

/// Starts it under what stands over the task: see [`Protection`].
pub(super) async fn start(
    mut spec: Spec,
    cancel: &CancellationToken,
    lines: bool,
) -> Result<Running, ProcessError> {
    let Some(protection) = Protection::current() else { return begin(spec, cancel, lines).await };
    spec.whole |= protection.is_required() && spec.level >= Level::Sandbox;
    let program = Path::new(&spec.program).file_name().unwrap_or_default().to_string_lossy();
    let name = format!("{} {program}", spec.level);
    let running = begin(spec, cancel, lines).await?;
    protection.record(name, running.enforcement.layers());
    Ok(running)
}

async fn begin(spec: Spec, cancel: &CancellationToken, lines: bool) -> Result<Running, ProcessError> {
    if spec.level == Level::Container {
        #[cfg(feature = "container")]
        return Box::pin(super::container::start(spec, cancel, lines)).await;
        #[cfg(not(feature = "container"))]
        return Err(ProcessError::NoContainers {
            reason: "this program was built without the feature `container`".to_owned(),
        });
    }
    let tool = spec.program.to_string_lossy().into_owned();
    let failed = |source| ProcessError::Start { tool: tool.clone(), stage: "following it", source };
    let (deadline, reading, input) = (spec.deadline, Reading::of(&spec), spec.stdin.clone());
    let watch = disk::Watch::of(&spec)?;
    let started = tokio::task::spawn_blocking(move || spawn(&spec))
        .await
        .map_err(|error| failed(io::Error::other(error)))??;

    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let sender = lines.then_some(sender);
    let dead = CancellationToken::new();
    let pump = |from: Option<OwnedFd>, stream| {
        let from = from.map(pipe::Receiver::from_owned_fd).transpose()?;
        Ok(Pump::start(from, reading, sender.clone().map(|to| (to, stream)), dead.clone()))
    };
    let stdout = pump(started.stdout, Stream::Out).map_err(failed)?;
    let stderr = pump(started.stderr, Stream::Err).map_err(failed)?;
    drop(sender);
    if let Stdin::Bytes(bytes) = input {
        feed(started.stdin, bytes).map_err(failed)?;
    }
    let lifeline = Lifeline::new(started.lifeline);
    let following = Following { lifeline: lifeline.clone(), outcome: started.outcome, dead };
    Ok(Running {
        signals: Signals::Supervisor(started.supervisor),
        cut: CutOnDrop(lifeline),
        lines: lines.then_some(receiver),
        driver: tokio::spawn(following.follow(cancel.clone(), deadline, watch)),
        stdout,
        stderr,
        enforcement: started.enforcement,
    })
}

struct Started {
    supervisor: u32,
    lifeline: io::PipeWriter,
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    outcome: oneshot::Receiver<Outcome>,
    enforcement: Enforcement,
}

/// How the tree ended, as its waiter saw it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) usage: Usage,
    pub(super) memory_kills: u64,
}

/// The same with the reason.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) cause: Cause,
}

fn spawn(spec: &Spec) -> Result<Started, ProcessError> {
    let search = spec.env.get(std::ffi::OsStr::new("PATH")).cloned().unwrap_or_default();
    let program = tool::find_in(&spec.program, &search).map_err(|error| spec.hinted(error))?;
    if let Some(directory) = &spec.directory {
        fs::read_dir(directory)
            .map_err(|source| ProcessError::Directory { path: directory.clone(), source })?;
    }
    let Prepared { plan, group, enforcement, lifeline, mut report } = plan::prepare(spec, &program)?;

    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    let mut command = Command::new(&program);
    command.args(&spec.args).env_clear().envs(&spec.env);
    command.stdin(if matches!(spec.stdin, Stdin::Null) { Stdio::null() } else { Stdio::piped() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(directory) = &spec.directory {
        command.current_dir(directory);
    }
    supervisor::install(&mut command, plan);
    let begin = Instant::now();
    let spawned = command.spawn();
    // The plan's ends of the pipes close here; only the child's are left.
    drop(command);
    let mut child = spawned.map_err(|source| {
        let mut stage = [0];
        let stage = report.read_exact(&mut stage).ok().and_then(|()| Stage::name(stage[0]));
        match (stage, source.raw_os_error()) {
            (None, Some(libc::ENOEXEC | libc::EACCES | libc::ENOENT | libc::ENOTDIR)) => {
                ProcessError::NotExecutable { path: program.clone(), source }
            }
            (stage, _) => ProcessError::Start {
                tool: spec.program.to_string_lossy().into_owned(),
                stage: stage.unwrap_or("executing it"),
                source,
            },
        }
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let supervisor = child.id();
    let (sender, outcome) = oneshot::channel();
    // A thread and not the runtime: it ends the process's bookkeeping also when the runtime is gone, and the runtime
    // would install a signal handler to do the same.
    let waiter =
        thread::Builder::new().name("crashwise-wait".into()).stack_size(128 << 10).spawn(move || {
            let outcome = wait(&mut child, report, &group, begin);
            drop(group);
            let _ = sender.send(outcome);
        });
    waiter.map_err(|source| ProcessError::thread(spec, source))?;
    Ok(Started {
        supervisor,
        lifeline,
        stdin: stdin.map(Into::into),
        stdout: stdout.map(Into::into),
        stderr: stderr.map(Into::into),
        outcome,
        enforcement,
    })
}

/// Waits for the supervisor, which ends when the tree is dead, and makes sure that it is.
fn wait(child: &mut Child, mut report: PipeReader, group: &Group, begin: Instant) -> Outcome {
    let supervisor = child.id();
    let _ = child.wait();
    let mut bytes = Vec::new();
    let _ = report.by_ref().take(supervisor::REPORT as u64).read_to_end(&mut bytes);
    let mut status = Status::Unknown;
    let mut usage = Usage { wall: begin.elapsed(), ..Usage::default() };
    if let Ok(bytes) = <[u8; supervisor::REPORT]>::try_from(bytes.as_slice()) {
        let value =
            |index: usize| i64::from_ne_bytes(std::array::from_fn(|offset| bytes[index * 8 + offset]));
        status = Status::from_wait(i32::try_from(value(0)).unwrap_or_default());
        usage.user = Duration::from_micros(value(1).unsigned_abs());
        usage.system = Duration::from_micros(value(2).unsigned_abs());
        usage.memory = value(3).unsigned_abs() << 10;
    } else {
        supervisor::kill_group(supervisor);
    }
    usage.memory = group.memory_peak().unwrap_or(usage.memory);
    let memory_kills = group.memory_kills();
    group.empty(Duration::from_secs(1));
    Outcome { status, usage, memory_kills }
}

pub(super) struct Following {
    pub(super) lifeline: Lifeline,
    pub(super) outcome: oneshot::Receiver<Outcome>,
    pub(super) dead: CancellationToken,
}

impl Following {
    pub(super) async fn follow(
        mut self,
        cancel: CancellationToken,
        deadline: Option<Duration>,
        mut watch: Option<disk::Watch>,
    ) -> Option<Ended> {
        let limit = async {
            match deadline {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let disk = async {
            match &mut watch {
                Some(watch) => watch.exceeded().await,
                None => std::future::pending().await,
            }
        };
        let stopped = tokio::select! {
            biased;
            outcome = &mut self.outcome => {
                self.dead.cancel();
                let outcome = outcome.ok()?;
                let cause = if outcome.memory_kills > 0 { Cause::Memory } else { Cause::Own };
                return Some(Ended { outcome, cause });
            }
            () = cancel.cancelled() => Cause::Cancelled,
            () = limit => Cause::Deadline,
            () = disk => Cause::Disk,
        };
        self.lifeline.cut();
        let outcome = (&mut self.outcome).await;
        self.dead.cancel();
        let outcome = outcome.ok()?;
        // It may have ended by itself in the moment before.
        let killed = matches!(outcome.status, Status::Signal(libc::SIGKILL) | Status::Unknown);
        Some(Ended { cause: if killed { stopped } else { Cause::Own }, outcome })
    }
}

/// How output is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// Bytes that are kept.
    cap: usize,
    /// How long after a small piece more of them are waited for.
    gather: Duration,
}

impl Reading {
    pub(super) fn of(spec: &Spec) -> Self {
        Self { cap: spec.output_cap, gather: spec.gather }
    }
}

/// Where output is read from.
pub(super) trait Source: AsyncRead + Unpin + Send + Sized + 'static {
    /// The same after a `pause`, during which nothing that is written wakes anybody.
    fn after(self, pause: impl Future<Output = ()> + Send) -> impl Future<Output = io::Result<Self>> + Send;
}

impl Source for pipe::Receiver {
    async fn after(self, pause: impl Future<Output = ()> + Send) -> io::Result<Self> {
        // The runtime is woken for what it listens to, whether somebody reads or not.
        let pipe = self.into_nonblocking_fd()?;
        pause.await;
        Self::from_owned_fd_unchecked(pipe)
    }
}

/// A task that reads one output stream to its end.
#[derive(Debug)]
pub(super) struct Pump {
    task: JoinHandle<()>,
    output: Arc<Mutex<Output>>,
}

impl Pump {
    pub(super) fn start(
        from: Option<impl Source>,
        reading: Reading,
        lines: Option<(mpsc::Sender<Line>, Stream)>,
        dead: CancellationToken,
    ) -> Self {
        let output = Arc::new(Mutex::new(Output::with_cap(reading.cap)));
        let kept = Arc::clone(&output);
        let task = tokio::spawn(async move {
            if let Some(from) = from {
                pump(from, reading.gather, &kept, lines, &dead).await;
            }
        });
        Self { task, output }
    }

    /// All that was read, once the stream has ended.
    pub(super) async fn finish(self) -> Output {
        let _ = self.task.await;
        std::mem::take(&mut *self.output.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pump(
    mut from: impl Source,
    gather: Duration,
    output: &Mutex<Output>,
    mut lines: Option<(mpsc::Sender<Line>, Stream)>,
    dead: &CancellationToken,
) {
    let mut buffer = vec![0; 64 << 10];
    let mut partial = Vec::new();
    let mut loud = None;
    loop {
        let read = if dead.is_cancelled() {
            // Nobody of the tree is left, so this ends at once, unless the other end was handed to a stranger.
            tokio::time::timeout(LINGER, from.read(&mut buffer)).await.unwrap_or(Ok(0))
        } else {
            tokio::select! {
                biased;
                read = from.read(&mut buffer) => read,
                () = dead.cancelled() => continue,
            }
        };
        let Ok(read @ 1..) = read else { break };
        let chunk = &buffer[..read];
        output.lock().unwrap_or_else(PoisonError::into_inner).push(chunk);
        let Some((to, stream)) = &lines else { continue };
        let mut open = true;
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            partial.extend_from_slice(piece);
            if partial.ends_with(b"\n") {
                partial.pop();
            } else if partial.len() < LINE_CAP {
                continue;
            }
            open &= to.send(Line { stream: *stream, bytes: std::mem::take(&mut partial) }).await.is_ok();
        }
        if !open {
            lines = None;
        }
        let now = Instant::now();
        if read >= LITTLE {
            loud = Some(now + LOUD);
        } else if !gather.is_zero() && loud.is_none_or(|until| until <= now) {
            let pause = async {
                tokio::select! {
                    () = tokio::time::sleep(gather) => {}
                    () = dead.cancelled() => {}
                }
            };
            match from.after(pause).await {
                Ok(again) => from = again,
                Err(_) => break,
            }
        }
    }
    if let Some((to, stream)) = lines
        && !partial.is_empty()
    {
        let _ = to.send(Line { stream, bytes: partial }).await;
    }
}

fn feed(to: Option<OwnedFd>, bytes: Vec<u8>) -> io::Result<()> {
    if let Some(to) = to {
        let mut to = pipe::Sender::from_owned_fd(to)?;
        tokio::spawn(async move {
            // A program that does not read its input closes the pipe: its own affair.
            let _ = to.write_all(&bytes).await;
        });
    }
    Ok(())
}
