//! Whose a container is: the process that started it, so that another can tell whether it is gone.

use std::fs;

/// A process, for as long as the machine runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    boot: String,
    /// The namespace in which `pid` counts.
    namespace: String,
    pid: u32,
    /// When it started, in the kernel's ticks: an id is given to another process some day.
    started: u64,
}

impl Owner {
    /// This process.
    pub(super) fn own() -> Self {
        let pid = std::process::id();
        Self { boot: boot(), namespace: namespace(), pid, started: started(pid).unwrap_or_default() }
    }

    /// The value of a label.
    pub(super) fn text(&self) -> String {
        format!("{} {} {} {}", self.boot, self.namespace, self.pid, self.started)
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let owner = Self {
            boot: parts.next()?.to_owned(),
            namespace: parts.next()?.to_owned(),
            pid: parts.next()?.parse().ok()?,
            started: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(owner)
    }

    /// Whether it runs no more. Of a process of another namespace nothing is known, nor of a container that runs on since a boot
    /// that was not this machine's.
    pub(super) fn is_gone(&self, container_runs: bool) -> bool {
        if self.boot != boot() {
            return !container_runs;
        }
        self.namespace == namespace() && started(self.pid) != Some(self.started)
    }
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map(|name| name.display().to_string()).unwrap_or_default()
}

fn started(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    text.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::Owner;

    #[test]
    fn an_owner_is_gone_when_it_ended_or_the_machine_was_booted() {
        let own = Owner::own();
        assert_eq!(Owner::read(&own.text()), Some(own.clone()));
        assert!(own.started > 0 && !own.boot.is_empty() && own.namespace.starts_with("pid:"), "{own:?}");
        let check = |owner: &Owner, running: bool, gone: bool| {
            assert_eq!(owner.is_gone(running), gone, "{owner:?} {running}");
        };
        for running in [true, false] {
            check(&own, running, false);
            check(&Owner { started: own.started + 1, ..own.clone() }, running, true);
            check(&Owner { pid: u32::MAX, ..own.clone() }, running, true);
            check(&Owner { namespace: "pid:[1]".into(), pid: u32::MAX, ..own.clone() }, running, false);
            check(&Owner { boot: "another".into(), ..own.clone() }, running, !running);
        }
    }

    #[test]
    fn what_is_no_owner_is_not_read() {
        for text in ["", "a", "a b c d", "a b 1 2 3", "a b 1", "a b -1 2"] {
            assert_eq!(Owner::read(text), None, "{text}");
        }
    }
}
