//! A clock that ticks.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Ticks at intervals by a timer of the kernel, which wakes the runtime once for each tick. Timers of the runtime wake it two or
/// three times when they are over 64 ms, and each time costs what a tick does.
#[derive(Debug)]
pub(super) struct Ticks {
    every: Duration,
    /// Read like a pipe: it gives a number of 8 bytes at each tick.
    timer: Option<Receiver>,
}

impl Ticks {
    /// The first tick comes after `every`.
    pub(super) fn new(every: Duration) -> Self {
        let every = every.max(Duration::from_millis(1));
        Self { every, timer: timer(every).ok() }
    }

    /// Waits for the next tick. Those that were missed are one.
    pub(super) async fn tick(&mut self) {
        if let Some(timer) = &mut self.timer {
            // With room for more than there is, the runtime knows that nothing is left.
            match timer.read(&mut [0; 16]).await {
                Ok(_) => return,
                Err(_) => self.timer = None,
            }
        }
        tokio::time::sleep(self.every).await;
    }
}

fn timer(every: Duration) -> io::Result<Receiver> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
    let every = Timespec::try_from(every).map_err(io::Error::other)?;
    let setting = Itimerspec { it_interval: every, it_value: every };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
    Receiver::from_owned_fd_unchecked(timer)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Ticks;

    #[tokio::test]
    async fn ticks_come_at_intervals_with_and_without_a_timer() {
        let every = Duration::from_millis(5);
        for mut ticks in [Ticks::new(every), Ticks { every, timer: None }] {
            let begin = Instant::now();
            for _ in 0..3 {
                ticks.tick().await;
            }
            assert!(begin.elapsed() >= every * 3, "{:?}", begin.elapsed());
        }
    }
}
