//! The first process of a container, for the day its engine is gone.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A handle by which a container can be killed without its engine, where both run in the same process namespace.
#[derive(Debug)]
pub(super) struct Survivor(OwnedFd);

impl Survivor {
    /// The process `pid`, if it is one of the container `id`: an engine may count processes in another namespace, or another
    /// machine.
    pub(super) fn of(pid: i32, id: &str) -> Option<Self> {
        let handle = pidfd_open(Pid::from_raw(pid.max(0))?, PidfdFlags::empty()).ok()?;
        // Looked at after the handle was taken, so that it is the same process.
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        (id.len() >= 12 && groups.contains(id)).then_some(Self(handle))
    }

    /// Kills it, and so all that is in the container: it is the first of its namespace.
    pub(super) fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::Survivor;

    #[test]
    fn a_process_that_is_in_no_container_is_left_alone() {
        let own = i32::try_from(std::process::id()).expect("id");
        for (pid, id) in
            [(own, "0123456789abcdef"), (own, ""), (0, "0123456789abcdef"), (-1, ""), (i32::MAX, "")]
        {
            assert!(Survivor::of(pid, id).is_none(), "{pid} {id}");
        }
    }
}
