//! Ctrl-C: the first one stops the run, the second one ends the program at once.

use super::exit::Exit;
use super::terminal::Terminal;
use std::io;

/// Waits for the end of `work` and stops the run when the user asks for it. Gives what `work` gave.
pub(super) async fn until_done<T>(
    cancel: impl AsyncFnOnce(),
    terminal: &Terminal,
    work: impl Future<Output = T>,
) -> io::Result<T> {
    let mut stop = Stop::new()?;
    let mut work = std::pin::pin!(work);
    tokio::select! {
        done = &mut work => return Ok(done),
        () = stop.asked() => {}
    }
    terminal.note("stopping the run; Ctrl-C again ends at once");
    cancel().await;
    tokio::select! {
        done = &mut work => Ok(done),
        () = stop.asked() => end_at_once(),
    }
}

/// Completes when the user, or the system, wants this process to stop. The next wish ends it at once.
#[cfg(feature = "temporal")]
pub(super) async fn wish(terminal: &Terminal, said: &str) -> io::Result<()> {
    let mut stop = Stop::new()?;
    stop.asked().await;
    terminal.note(said);
    tokio::spawn(async move {
        stop.asked().await;
        end_at_once()
    });
    Ok(())
}

/// Wishes of the user, or of the system, to stop.
struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn asked(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[allow(clippy::exit, reason = "the user asked twice: nothing is waited for")]
fn end_at_once() -> ! {
    std::process::exit(Exit::Interrupted.code().into())
}
