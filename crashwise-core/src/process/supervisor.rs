//! The code that runs between `fork` and `exec`: the supervisor, the first process of the namespace, and the walls
//! that the program is put behind.
//!
//! ```text
//! host -> supervisor (reaper, holds the lifeline) -> program                          without a PID namespace
//! host -> supervisor (reaper, holds the lifeline) -> first process -> program         with one
//! ```
//!
//! All of it runs in the child of a process with many threads, so it makes system calls only: no allocation, no locks,
//! no panics. Everything it needs is prepared in a [`Plan`].

#![allow(unsafe_code, reason = "system calls between fork and exec that no safe interface offers")]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use super::plan::{Plan, Resource, Stage};

/// What the supervisor sends when the program has ended: raw wait status, user and system time in microseconds, and the
/// largest resident set in KiB, each as 8 bytes.
pub(super) const REPORT: usize = 32;

/// Makes `command` start its program under a supervisor that follows `plan`.
pub(super) fn install(command: &mut Command, plan: Plan) {
    // SAFETY: `enter` and all it calls make only system calls that are async-signal-safe and touch no memory but their
    // own stack and the prepared plan.
    unsafe {
        command.pre_exec(move || enter(&plan));
    }
}

fn enter(plan: &Plan) -> io::Result<()> {
    // SAFETY: plain system calls without pointers; a failure is reported by their result.
    unsafe {
        step(plan, Stage::Session, libc::setsid())?;
        step(plan, Stage::Supervisor, libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))?;
        // A host that ignores it would make the kernel throw the program's status away.
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
    }
    if let Some(maps) = &plan.user_maps {
        // SAFETY: as above; after `fork` this process has one thread, which a new user namespace asks for.
        unsafe { step(plan, Stage::Namespaces, libc::unshare(libc::CLONE_NEWUSER))? };
        write_file(c"/proc/self/setgroups", b"deny")
            .or_else(|error| failed(plan, Stage::Namespaces, error))?;
        write_file(c"/proc/self/uid_map", &maps.users)
            .or_else(|error| failed(plan, Stage::Namespaces, error))?;
        write_file(c"/proc/self/gid_map", &maps.groups)
            .or_else(|error| failed(plan, Stage::Namespaces, error))?;
    }
    if plan.namespaces != 0 {
        // SAFETY: as above.
        unsafe { step(plan, Stage::Namespaces, libc::unshare(plan.namespaces))? };
    }
    let first = plan.namespaces & libc::CLONE_NEWPID != 0;
    // SAFETY: the child goes on with system calls only, and so does the parent, which never returns.
    match step(plan, Stage::Supervisor, unsafe { libc::fork() })? {
        0 => {}
        child => supervise(plan, child, first),
    }
    for group in &plan.entrances {
        write_all(group.as_raw_fd(), b"0").or_else(|error| failed(plan, Stage::Groups, error))?;
    }
    if first {
        // SAFETY: as above.
        match step(plan, Stage::Supervisor, unsafe { libc::fork() })? {
            0 => {}
            child => be_first(plan, child),
        }
    }
    confine(plan)
}

fn confine(plan: &Plan) -> io::Result<()> {
    default_signals();
    for (resource, limit) in &plan.rlimits {
        // SAFETY: the pointer is to a value that lives through the call.
        unsafe { step(plan, Stage::Rlimits, libc::setrlimit(*resource, limit))? };
    }
    if plan.drop_privileges {
        // SAFETY: plain system calls; `capset` reads two values that live through the call.
        unsafe {
            for capability in 0..64 {
                libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0);
            }
            let header = [0x2008_0522_u32, 0];
            let nothing = [0_u32; 6];
            let result = libc::syscall(libc::SYS_capset, header.as_ptr(), nothing.as_ptr());
            step(plan, Stage::Privileges, -i32::from(result != 0))?;
            step(plan, Stage::Privileges, libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        }
    }
    if let Some(ruleset) = &plan.ruleset {
        // SAFETY: a plain system call on a descriptor that the plan owns.
        let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
        step(plan, Stage::Files, -i32::from(result != 0))?;
    }
    for filter in &plan.filters {
        if seccompiler::apply_filter(filter).is_err() {
            return failed(plan, Stage::Syscalls, io::Error::from_raw_os_error(libc::EINVAL));
        }
    }
    Ok(())
}

/// Watches the program and the lifeline, kills everything when either ends, and exits when no child is left.
fn supervise(plan: &Plan, child: libc::pid_t, first: bool) -> ! {
    let (lifeline, report) = (plan.lifeline.as_raw_fd(), plan.report.as_raw_fd());
    let kill = plan.killer.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    let stop = plan.stopper.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    ignore_signals();
    close_all_but([lifeline, report, kill, stop]);
    // SAFETY: a plain system call; -1 where the kernel is older than 5.3, and then the loop looks at intervals.
    let watched = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    let mut watched = RawFd::try_from(watched).unwrap_or(-1);
    let mut killing = false;
    loop {
        loop {
            let (mut status, mut usage) = (0, zeroed_usage());
            // SAFETY: both pointers are to values that live through the call.
            let pid = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
            if pid == child {
                // A first process that was killed reported nothing, or all that is read.
                if !first || libc::WIFSIGNALED(status) {
                    send(report, status, &usage);
                }
                watched = -1;
                killing = true;
            } else if pid < 0 && errno() == libc::ECHILD {
                exit();
            } else if pid <= 0 {
                break;
            }
        }
        if killing {
            if stop >= 0 {
                let _ = write_all(stop, b"0");
            }
            if kill >= 0 {
                let _ = write_all(kill, b"1");
            }
            if first {
                // SAFETY: a plain system call on a child that was not reaped yet, or an id that is gone: the first
                // process is reaped last, and nothing is left after it.
                unsafe { libc::kill(child, libc::SIGKILL) };
            } else {
                kill_children();
            }
        }
        let mut events = [poll_for(if killing { -1 } else { lifeline }), poll_for(watched)];
        let patience = if killing {
            2
        } else if watched < 0 {
            20
        } else {
            -1
        };
        // SAFETY: the pointer is to an array of two that lives through the call.
        unsafe { libc::poll(events.as_mut_ptr(), 2, patience) };
        if events[0].revents & (libc::POLLHUP | libc::POLLERR | libc::POLLNVAL) != 0 {
            killing = true;
        }
    }
}

/// The first process of a PID namespace: reaps, reports the program's end, and takes the namespace with it.
fn be_first(plan: &Plan, program: libc::pid_t) -> ! {
    let report = plan.report.as_raw_fd();
    ignore_signals();
    close_all_but([report, -1, -1, -1]);
    loop {
        let (mut status, mut usage) = (0, zeroed_usage());
        // SAFETY: both pointers are to values that live through the call.
        let pid = unsafe { libc::wait4(-1, &raw mut status, 0, &raw mut usage) };
        if pid == program {
            send(report, status, &usage);
            exit();
        }
        if pid < 0 && errno() == libc::ECHILD {
            exit();
        }
    }
}

/// Kills each child once, as `/proc` lists them; what a killed child leaves behind becomes a child for the next time.
fn kill_children() {
    // SAFETY: the path is a C string; the descriptor is closed below.
    let file =
        unsafe { libc::open(c"/proc/thread-self/children".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return;
    }
    let mut buffer = [0_u8; 4096];
    let mut pid: libc::pid_t = 0;
    loop {
        // SAFETY: at most the buffer's length is written to it.
        let read = unsafe { libc::read(file, buffer.as_mut_ptr().cast(), buffer.len()) };
        let Ok(read) = usize::try_from(read) else { break };
        if read == 0 {
            break;
        }
        for byte in buffer.iter().take(read) {
            if byte.is_ascii_digit() {
                pid = pid.wrapping_mul(10).wrapping_add(libc::pid_t::from(byte - b'0'));
            } else if pid > 1 {
                // SAFETY: a plain system call; only this process reaps its children, so the id is still theirs.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                pid = 0;
            }
        }
    }
    // SAFETY: opened above and used nowhere else.
    unsafe { libc::close(file) };
}

/// Takes back what the host ignores, as one does that was started in the background: the program could not change it.
fn default_signals() {
    for signal in 1..32 {
        // SAFETY: a plain system call; SIGKILL and SIGSTOP are refused, which does no harm.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

pub(super) fn ignore_signals() {
    for signal in 1..32 {
        if signal != libc::SIGCHLD {
            // SAFETY: a plain system call; SIGKILL and SIGSTOP are refused, which does no harm.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
}

pub(super) fn close_all_but(mut kept: [RawFd; 4]) {
    kept.sort_unstable();
    let mut from: libc::c_uint = 0;
    for fd in kept {
        let Ok(fd) = libc::c_uint::try_from(fd) else { continue };
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, libc::c_uint::MAX);
}

fn close_range(first: libc::c_uint, last: libc::c_uint) {
    // SAFETY: plain system calls; the descriptors belong to code that never runs again in this process.
    unsafe {
        if libc::syscall(libc::SYS_close_range, first, last, 0) != 0 {
            for fd in first..=last.min(65_535) {
                libc::close(fd.cast_signed());
            }
        }
    }
}

fn poll_for(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

fn zeroed_usage() -> libc::rusage {
    // SAFETY: `rusage` is made of integers only.
    unsafe { std::mem::zeroed() }
}

fn send(report: RawFd, status: i32, usage: &libc::rusage) {
    let micros = |time: libc::timeval| time.tv_sec.wrapping_mul(1_000_000).wrapping_add(time.tv_usec);
    let values = [i64::from(status), micros(usage.ru_utime), micros(usage.ru_stime), usage.ru_maxrss]
        .map(i64::to_ne_bytes);
    let _ = write_all(report, values.as_flattened());
}

fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: exactly the slice is read. All writes here are short enough to be whole.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if usize::try_from(written).is_ok_and(|written| written == bytes.len()) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(errno()))
    }
}

fn write_file(path: &std::ffi::CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the path is a C string; the descriptor is closed below.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return Err(io::Error::from_raw_os_error(errno()));
    }
    let result = write_all(file, bytes);
    // SAFETY: opened above and used nowhere else.
    unsafe { libc::close(file) };
    result
}

pub(super) fn errno() -> i32 {
    // SAFETY: the pointer is to this thread's own error number and always valid.
    unsafe { ptr::read(libc::__errno_location()) }
}

fn exit() -> ! {
    // SAFETY: ends this process without running anything else.
    unsafe { libc::_exit(0) }
}

fn step(plan: &Plan, stage: Stage, result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { failed(plan, stage, io::Error::from_raw_os_error(errno())) } else { Ok(result) }
}

/// Says on the report pipe at what the start failed; the error itself travels to the host by `exec`'s own way.
fn failed<T>(plan: &Plan, stage: Stage, error: io::Error) -> io::Result<T> {
    let _ = write_all(plan.report.as_raw_fd(), &[stage as u8]);
    Err(error)
}

/// Kills the process group of a supervisor that was itself killed.
pub(super) fn kill_group(leader: u32) {
    if let Ok(leader) = libc::pid_t::try_from(leader)
        && leader > 1
    {
        // SAFETY: a plain system call.
        unsafe { libc::kill(-leader, libc::SIGKILL) };
    }
}

/// Sends `signal` to the process group of the supervisor, which ignores it itself.
pub(super) fn signal_group(leader: u32, signal: i32) {
    if let Ok(leader) = libc::pid_t::try_from(leader)
        && leader > 1
    {
        // SAFETY: a plain system call.
        unsafe { libc::kill(-leader, signal) };
    }
}

/// Tries `unshare(flags)` in a forked child that then ends: the child's answer, 0 or an error number.
pub(super) fn try_unshare(command: &mut Command, flags: libc::c_int) -> i32 {
    // SAFETY: one system call.
    unsafe {
        command.pre_exec(move || {
            let code = if libc::unshare(flags) == 0 { libc::EDOTDOT } else { errno() };
            Err(io::Error::from_raw_os_error(code))
        });
    }
    let answer = command.spawn().err().and_then(|error| error.raw_os_error()).unwrap_or(libc::EINVAL);
    if answer == libc::EDOTDOT { 0 } else { answer }
}

/// The user and group that this process acts as.
pub(super) fn identity() -> (u32, u32) {
    // SAFETY: plain system calls that cannot fail.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// The highest value to which this process may set a limit.
pub(super) fn hard_limit(resource: Resource) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a value that lives through the call.
    unsafe { libc::getrlimit(resource, &raw mut limit) };
    limit.rlim_max
}
