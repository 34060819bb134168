//! What a container is made of, as the engine is asked for it, and what is enforced by that.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::engine::{EMPTY_IMAGE, Facts, OWNER};
use super::mounts;
use super::owner::Owner;
use crate::process::{
    Enforcement, Means, Network, ProcessError, Spec, Stdin, TreeKill, plan, supervisor, tool,
};

/// Bytes that a program may keep in `/tmp`, where that is not granted: memory of its container.
const TMP: u64 = 256 << 20;

/// A container to make.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) body: Value,
    pub(super) enforcement: Enforcement,
}

pub(super) fn prepare(spec: &Spec, facts: &Facts) -> Result<Request, ProcessError> {
    let program = program(spec)?;
    if let Some(directory) = &spec.directory {
        fs::read_dir(directory)
            .map_err(|source| ProcessError::Directory { path: directory.clone(), source })?;
    }
    let mut readable = spec.readable.clone();
    readable.extend(Some(&program).filter(|path| path.is_absolute()).cloned());
    let mut writable = plan::writable(spec);
    if spec.image.is_none() {
        readable.extend(mounts::system());
    } else {
        readable.retain(|path| !mounts::is_system(path));
        writable.retain(|path| !mounts::is_system(path));
    }
    let binds = mounts::binds(&readable, &writable, &mounts::mounted());
    let mut volumes = Vec::new();
    for bind in &binds {
        let (source, target) = (mountable(&bind.source)?, mountable(&bind.target)?);
        volumes.push(json!({
            "Type": "bind", "Source": source, "Target": target, "ReadOnly": !bind.writable,
            "BindOptions": {"NonRecursive": true, "Propagation": "rprivate"},
        }));
    }
    let mut scratch = serde_json::Map::new();
    if !binds.iter().any(|bind| bind.target == Path::new("/tmp")) {
        scratch.insert("/tmp".into(), format!("rw,nosuid,nodev,size={TMP},mode=1777").into());
    }
    let args = spec.args.iter().map(|arg| text(arg)).collect::<Result<Vec<_>, _>>()?;
    let mut env = Vec::new();
    for (name, value) in &spec.env {
        env.push(format!("{}={}", text(name)?, text(value)?));
    }
    let directory = spec.directory.as_deref().map_or(Ok(PathBuf::from("/")), std::path::absolute);
    let directory = directory.map_err(|source| ProcessError::Directory { path: "/".into(), source })?;
    let (user, group) = if facts.rootless { (0, 0) } else { supervisor::identity() };
    let stdin = !matches!(spec.stdin, Stdin::Null);
    let mut security = vec!["no-new-privileges"];
    if facts.selinux {
        // The other way to let a container read the host's files is to label them anew, all of them.
        security.push("label=disable");
    }
    let mut host = json!({
        "Init": true,
        "NetworkMode": if spec.network == Network::Host { "host" } else { "none" },
        "ReadonlyRootfs": true,
        "CapDrop": ["ALL"],
        "SecurityOpt": security,
        "LogConfig": {"Type": "none"},
        "Mounts": volumes,
        "Tmpfs": scratch,
        "Ulimits": ulimits(spec),
    });
    let enforcement = limit(spec, facts, &mut host);
    let mut body = json!({
        "Image": spec.image.as_deref().unwrap_or(EMPTY_IMAGE),
        "Entrypoint": [text(program.as_os_str())?],
        "Cmd": args,
        "Env": env,
        "WorkingDir": text(directory.as_os_str())?,
        "User": format!("{user}:{group}"),
        "OpenStdin": stdin, "StdinOnce": stdin, "AttachStdin": stdin,
        "AttachStdout": true, "AttachStderr": true, "Tty": false,
        "Labels": {OWNER: Owner::own().text()},
        "HostConfig": host,
    });
    if spec.image.is_some() {
        // Programs of the image that the engine would start beside this one.
        body["Healthcheck"] = json!({"Test": ["NONE"]});
    }
    Ok(Request { body, enforcement })
}

/// The program as the container knows it. One of an image may be in the image alone.
fn program(spec: &Spec) -> Result<PathBuf, ProcessError> {
    let path = Path::new(&spec.program);
    let is_path = spec.program.as_encoded_bytes().contains(&b'/');
    if spec.image.is_some() && (!is_path || mounts::is_system(path) || (path.is_absolute() && !path.exists()))
    {
        return Ok(path.to_owned());
    }
    let search = spec.env.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let program = tool::find_in(&spec.program, &search).map_err(|error| spec.hinted(error))?;
    executable(&program).map_err(|source| ProcessError::NotExecutable { path: program.clone(), source })?;
    Ok(program)
}

/// Whether the kernel could execute it: the engine's init program would only end with 127.
fn executable(program: &Path) -> io::Result<()> {
    let mut first = Vec::new();
    fs::File::open(program)?.take(256).read_to_end(&mut first)?;
    let Some(line) = first.strip_prefix(b"#!") else {
        let elf = first.starts_with(b"\x7fELF");
        return if elf { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ENOEXEC)) };
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let interpreter = line.split_whitespace().next().unwrap_or_default();
    fs::metadata(interpreter).map(drop)
}

/// Limits that each process has alone. Those of files and processes are always said, for engines set their own otherwise, which
/// may be above what this machine allows.
fn ulimits(spec: &Spec) -> Vec<Value> {
    let limits = &spec.limits;
    let seconds = limits.cpu_time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let all = [
        ("core", libc::RLIMIT_CORE, Some(0)),
        ("cpu", libc::RLIMIT_CPU, seconds),
        ("fsize", libc::RLIMIT_FSIZE, limits.file_size),
        ("nofile", libc::RLIMIT_NOFILE, limits.open_files.or(Some(u64::MAX))),
        ("nproc", libc::RLIMIT_NPROC, Some(most_processes())),
        ("stack", libc::RLIMIT_STACK, limits.stack),
    ];
    let all = all.into_iter().filter_map(|(name, resource, limit)| {
        let limit = limit?.min(supervisor::hard_limit(resource));
        // What is above is "no limit", which the engine knows as -1.
        let limit = i64::try_from(limit).unwrap_or(-1);
        Some(json!({"Name": name, "Soft": limit, "Hard": limit}))
    });
    all.collect()
}

/// What the kernel has ids for, to which Podman lowers its own limit.
fn most_processes() -> u64 {
    fs::read_to_string("/proc/sys/kernel/pid_max")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(32_768)
}

/// Adds the limits of the tree; what is enforced.
fn limit(spec: &Spec, facts: &Facts, host: &mut Value) -> Enforcement {
    let limits = &spec.limits;
    let mut enforcement = Enforcement::nothing(TreeKill::Engine);
    let kept = |there: bool, what: &str| {
        let why = || {
            format!(
                "the engine has no limit of {what}{}",
                if facts.rootless { ", being rootless" } else { "" }
            )
        };
        if there { Means::Engine } else { Means::Missing(why()) }
    };
    if let Some(bytes) = limits.memory {
        enforcement.memory = kept(facts.memory, "memory");
        if facts.memory {
            host["Memory"] = bytes.into();
        }
        if facts.memory && facts.swap {
            host["MemorySwap"] = bytes.into();
        }
    }
    if let Some(count) = limits.processes {
        enforcement.processes = kept(facts.processes, "processes");
        if facts.processes {
            // The init program is one.
            host["PidsLimit"] = count.saturating_add(1).into();
        }
    }
    if let Some(cores) = limits.cores {
        enforcement.cores = kept(facts.cores, "cores");
        if facts.cores {
            #[allow(clippy::cast_possible_truncation, reason = "no machine has 2^33 cores")]
            let nano = (cores * 1e9) as i64;
            host["NanoCpus"] = nano.into();
        }
    }
    let rlimits = [limits.file_size, limits.open_files, limits.stack];
    if limits.cpu_time.is_some() || rlimits.iter().any(Option::is_some) {
        enforcement.rlimits = Means::Engine;
    }
    if limits.disk.is_some() {
        enforcement.disk = Means::Watched;
    }
    enforcement.files = Means::Engine;
    enforcement.privileges = Means::Engine;
    enforcement.signals = Means::Engine;
    if spec.network == Network::None {
        enforcement.network = Means::Engine;
    }
    enforcement.syscalls = if facts.seccomp {
        Means::Engine
    } else {
        Means::Missing("the engine has no system call filter".into())
    };
    enforcement
}

impl Request {
    /// Takes back what the engine warns that it does not enforce.
    pub(super) fn warned(&mut self, warnings: &[String]) {
        for warning in warnings {
            let small = warning.to_lowercase();
            let enforcement = &mut self.enforcement;
            let means = if small.contains("swap") {
                continue;
            } else if small.contains("memory") {
                &mut enforcement.memory
            } else if small.contains("pids") {
                &mut enforcement.processes
            } else if small.contains("cpu") {
                &mut enforcement.cores
            } else if small.contains("seccomp") {
                &mut enforcement.syscalls
            } else {
                continue;
            };
            if *means == Means::Engine {
                *means = Means::Missing(format!("the engine warns: {warning}"));
            }
        }
    }
}

/// A path in a request: engines join its parts by commas and take quotes and line ends for their own.
fn mountable(path: &Path) -> Result<&str, ProcessError> {
    let text = text(path.as_os_str())?;
    if text.contains(|c: char| matches!(c, ',' | '"' | '\\') || c.is_control()) {
        let reason = format!(
            "{text:?} cannot be given to a container: a comma, a quote, a backslash or a control character is in it"
        );
        return Err(ProcessError::NoContainers { reason });
    }
    Ok(text)
}

fn text(word: &OsStr) -> Result<&str, ProcessError> {
    word.to_str().ok_or_else(|| {
        let reason = format!("`{}` cannot be given to a container: it is not UTF-8", word.display());
        ProcessError::NoContainers { reason }
    })
}
