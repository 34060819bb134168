//! What is prepared on the host's side for a sandboxed process: its Landlock ruleset and its system call filter.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch,
};

/// Readable and executable for every sandboxed process, and every one in a container without an image of its own: programs, libraries, and what the loader, the resolver of users
/// and time zones read. Not `/etc` as a whole: it holds secrets.
pub(super) const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/java-17-openjdk",
    "/etc/python3",
];

/// Readable and writable for every sandboxed process.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// A ruleset that grants the system, `readable` and `writable`; `None` where the kernel has no Landlock.
///
/// Paths that do not exist grant nothing.
pub(super) fn files(
    readable: &[PathBuf],
    writable: &[PathBuf],
    network: bool,
) -> Result<Option<OwnedFd>, RulesetError> {
    let all = AccessFs::from_all(ABI::V5);
    let read = AccessFs::from_read(ABI::V5);
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(all)?
        .scope(Scope::from_all(ABI::V6))?;
    if !network {
        ruleset = ruleset.handle_access(AccessNet::from_all(ABI::V4))?;
    }
    let mut created = ruleset.create()?;
    let system =
        SYSTEM.iter().map(Path::new).chain(readable.iter().map(PathBuf::as_path)).map(|path| (path, read));
    let devices =
        DEVICES.iter().map(|path| (Path::new(path), read | AccessFs::WriteFile | AccessFs::IoctlDev));
    let own = writable.iter().map(|path| (path.as_path(), all));
    for (path, access) in system.chain(devices).chain(own) {
        let Ok(file) = PathFd::new(path) else { continue };
        let access = if path.is_dir() { access } else { access & AccessFs::from_file(ABI::V5) };
        created = created.add_rule(PathBeneath::new(file, access))?;
    }
    Ok(created.into())
}

/// Whether a ruleset also keeps signals inside, on this kernel (6.12).
pub(super) fn scopes_signals() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .scope(Scope::Signal)
        .and_then(Ruleset::create)
        .is_ok()
}

/// Filters that refuse the system calls by which a process would leave its confinement or that reach into the kernel
/// deeper than any target has to; empty on an architecture without filters.
///
/// `ptrace` stays: leak detection is built on it, and Landlock keeps it inside the tree.
pub(super) fn syscalls(network: bool) -> Result<Vec<BpfProgram>, seccompiler::BackendError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(Vec::new()) };
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    refused.insert(libc::SYS_clone, bits(0, NAMESPACES.map(i64::from))?);
    let special = [i64::from(libc::S_ISUID), i64::from(libc::S_ISGID)];
    for (call, mode) in
        [(libc::SYS_fchmod, 1), (libc::SYS_fchmodat, 2), (libc::SYS_fchmodat2, 2), (libc::SYS_openat, 3)]
    {
        refused.insert(call, bits(mode, special)?);
    }
    #[cfg(target_arch = "x86_64")]
    for (call, mode) in [(libc::SYS_chmod, 1), (libc::SYS_open, 2), (libc::SYS_creat, 1)] {
        refused.insert(call, bits(mode, special)?);
    }
    let families: &[libc::c_int] = if network {
        &[libc::AF_PACKET, libc::AF_VSOCK, libc::AF_ALG, libc::AF_XDP, libc::AF_BLUETOOTH]
    } else {
        &[
            libc::AF_INET,
            libc::AF_INET6,
            libc::AF_NETLINK,
            libc::AF_PACKET,
            libc::AF_VSOCK,
            libc::AF_ALG,
            libc::AF_XDP,
            libc::AF_BLUETOOTH,
        ]
    };
    let rules = families
        .iter()
        .map(|family| rule(0, SeccompCmpOp::Eq, i64::from(*family)))
        .collect::<Result<Vec<_>, _>>()?;
    refused.insert(libc::SYS_socket, rules);

    // Calls whose flags a filter cannot see: callers fall back to the older ones on ENOSYS.
    let unseen = [libc::SYS_clone3, libc::SYS_openat2, libc::SYS_io_uring_setup];
    let absent = unseen.into_iter().map(|call| (call, Vec::new())).collect();
    [(refused, libc::EPERM), (absent, libc::ENOSYS)]
        .into_iter()
        .map(|(rules, errno)| {
            let action = SeccompAction::Errno(errno.unsigned_abs());
            SeccompFilter::new(rules, SeccompAction::Allow, action, arch)?.try_into()
        })
        .collect()
}

const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

const REFUSED: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pivot_root,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

fn rule(argument: u8, operation: SeccompCmpOp, value: i64) -> Result<SeccompRule, seccompiler::BackendError> {
    let condition =
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operation, value.cast_unsigned())?;
    SeccompRule::new(vec![condition])
}

/// Rules that match if any of `flags` is set in the argument.
fn bits<const N: usize>(
    argument: u8,
    flags: [i64; N],
) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    flags.into_iter().map(|flag| rule(argument, SeccompCmpOp::MaskedEq(flag.cast_unsigned()), flag)).collect()
}
