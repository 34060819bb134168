//! The process that removes a container: on the ordinary way, and when the host is killed.
//!
//! Engines outlive their clients, so somebody has to that outlives the host. It is a forked child of the host that executes
//! nothing: it waits for the end of a pipe whose other end only the host holds, then asks the engine to remove the container until
//! that is done. Between `fork` and its end it makes system calls only: no allocation, no locks, no panics.

#![allow(unsafe_code, reason = "system calls in a forked child that no safe interface offers")]

use std::io::{self, PipeReader, PipeWriter, Write};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use tokio::sync::oneshot;

use crate::process::running::Lifeline;
use crate::process::supervisor::{close_all_but, errno, ignore_signals};

/// What the host says through the pipe: the engine has answered, so it has the container now or never.
const MADE: u8 = b'm';

/// Milliseconds after which it gives up: the next start of a host removes what is left.
const ALL: i64 = 120_000;
/// Milliseconds for which an engine that does not know the container may still be making it.
const MAKING: i64 = 20_000;
/// Seconds that one answer may take: to kill a container takes up to ten with Docker.
const ANSWER: libc::time_t = 30;
/// Milliseconds between two attempts, at first and at most.
const PAUSE: [libc::c_int; 2] = [20, 1000];

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1")]
const FAMILY: libc::sa_family_t = libc::AF_UNIX as libc::sa_family_t;

/// The host's end.
#[derive(Debug)]
pub(super) struct Guardian {
    pipe: PipeWriter,
    gone: oneshot::Receiver<bool>,
}

struct Watch {
    pipe: PipeReader,
    address: libc::sockaddr_un,
    request: Vec<u8>,
}

impl Guardian {
    /// Starts one for the container `name`, which need not be made yet.
    pub(super) fn start(socket: &Path, name: &str) -> io::Result<Self> {
        let (reader, pipe) = io::pipe()?;
        let request = format!(
            "DELETE /containers/{name}?force=true&v=true HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        );
        let watch = Watch { pipe: reader, address: address(socket)?, request: request.into_bytes() };
        #[allow(clippy::disallowed_methods, reason = "it is forked and never executed")]
        let mut command = Command::new("/proc/self/exe");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // SAFETY: `keep` makes only system calls that are async-signal-safe and touches no memory but its own stack and what was
        // prepared above. It never returns.
        unsafe {
            command.pre_exec(move || keep(&watch));
        }
        let spawned = command.spawn();
        // Its end of the pipe closes here; only the child's is left.
        drop(command);
        let mut child = spawned?;
        let (sender, gone) = oneshot::channel();
        // A thread and not the runtime, for the same reasons as with the supervisor.
        thread::Builder::new().name("crashwise-wait".into()).stack_size(128 << 10).spawn(move || {
            let removed = child.wait().is_ok_and(|status| status.success());
            let _ = sender.send(removed);
        })?;
        Ok(Self { pipe, gone })
    }

    /// Says that the engine was heard: if it does not know the container later, there is none.
    pub(super) fn made(&mut self) {
        // A guardian that was killed is found out when its end is waited for.
        let _ = self.pipe.write_all(&[MADE]);
    }

    /// Has the container removed; whether it is.
    pub(super) async fn remove(self) -> bool {
        drop(self.pipe);
        self.gone.await.unwrap_or(false)
    }

    /// The pipe as the lifeline of a process, and what tells when the container is removed.
    pub(super) fn into_parts(self) -> (Lifeline, oneshot::Receiver<bool>) {
        (Lifeline::new(self.pipe), self.gone)
    }
}

fn address(socket: &Path) -> io::Result<libc::sockaddr_un> {
    // SAFETY: `sockaddr_un` is made of integers only.
    let mut address: libc::sockaddr_un = unsafe { mem::zeroed() };
    address.sun_family = FAMILY;
    let bytes = socket.as_os_str().as_bytes();
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path of the engine's socket is too long",
        ));
    }
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = from.cast_signed();
    }
    Ok(address)
}

fn keep(watch: &Watch) -> io::Result<()> {
    let pipe = watch.pipe.as_raw_fd();
    // SAFETY: plain system calls; the path is a C string.
    unsafe {
        libc::setsid();
        libc::chdir(c"/".as_ptr());
    }
    ignore_signals();
    // The one by which the host waits for `exec` among them: for it the start is over.
    close_all_but([pipe, -1, -1, -1]);
    let mut made = false;
    loop {
        let mut said = [0_u8; 16];
        // SAFETY: at most the buffer's length is written to it.
        let read = unsafe { libc::read(pipe, said.as_mut_ptr().cast(), said.len()) };
        match usize::try_from(read) {
            Ok(0) => break,
            Ok(read) => {
                made |= said.iter().take(read).any(|byte| *byte == MADE);
            }
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => break,
        }
    }
    let begin = now();
    let mut pause = PAUSE[0];
    loop {
        match ask(watch) {
            Some(200..=299) => end(0),
            Some(404) if made || now() - begin > MAKING => end(0),
            _ => {}
        }
        if now() - begin > ALL {
            end(1);
        }
        // SAFETY: no descriptor is looked at.
        unsafe { libc::poll(std::ptr::null_mut(), 0, pause) };
        pause = (pause * 2).min(PAUSE[1]);
    }
}

/// The status of the engine's answer, if it gave one.
fn ask(watch: &Watch) -> Option<u16> {
    // SAFETY: plain system calls on a descriptor that is closed below; the pointers are to values that live through the calls, and
    // the lengths are theirs.
    unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return None;
        }
        let time = libc::timeval { tv_sec: ANSWER, tv_usec: 0 };
        let size = length::<libc::timeval>();
        for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            libc::setsockopt(socket, libc::SOL_SOCKET, option, (&raw const time).cast(), size);
        }
        let size = length::<libc::sockaddr_un>();
        let mut status = None;
        if libc::connect(socket, (&raw const watch.address).cast(), size) == 0
            && send_all(socket, &watch.request)
        {
            status = answer(socket);
        }
        libc::close(socket);
        status
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the types of the socket interface have a few hundred bytes"
)]
const fn length<T>() -> libc::socklen_t {
    mem::size_of::<T>() as libc::socklen_t
}

fn send_all(socket: libc::c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: at most the slice is read.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
        match usize::try_from(sent) {
            Ok(sent @ 1..) => bytes = bytes.get(sent..).unwrap_or_default(),
            Err(_) if errno() == libc::EINTR => {}
            _ => return false,
        }
    }
    true
}

/// Reads `HTTP/1.1 204`.
fn answer(socket: libc::c_int) -> Option<u16> {
    let mut line = [0_u8; 12];
    let mut filled = 0;
    while filled < line.len() {
        // SAFETY: at most the rest of the buffer is written.
        let read =
            unsafe { libc::recv(socket, line.as_mut_ptr().add(filled).cast(), line.len() - filled, 0) };
        match usize::try_from(read) {
            Ok(read @ 1..) => filled += read,
            Err(_) if errno() == libc::EINTR => {}
            _ => return None,
        }
    }
    match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            _,
            b' ',
            a @ b'1'..=b'5',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
        ] => {
            let digit = |byte: u8| u16::from(byte - b'0');
            Some(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => None,
    }
}

/// Milliseconds of a clock that nobody sets.
fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a value that lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.wrapping_mul(1000).wrapping_add(time.tv_nsec / 1_000_000)
}

fn end(code: libc::c_int) -> ! {
    // SAFETY: ends this process without running anything else.
    unsafe { libc::_exit(code) }
}
