use std::time::Duration;

/// What a process tree may use. `None` everywhere means no limit.
///
/// Whether a limit holds for the tree or for each process depends on how it is enforced: a cgroup limits the tree, an
/// rlimit each process alone. [`super::Enforcement`] says which it was.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Memory in bytes: by cgroup, else by `RLIMIT_AS` unless [`Limits::sparse`].
    pub memory: Option<u64>,
    /// Whether the program reserves far more address space than it uses, as sanitizers do: `RLIMIT_AS` would kill it
    /// at its start, so without a cgroup its memory stays without limit, and the result says so.
    pub sparse: bool,
    /// Number of processes and threads alive at once.
    pub processes: Option<u64>,
    /// Cores, 1.5 being one and a half.
    pub cores: Option<f64>,
    /// CPU time of one process, rounded up to whole seconds.
    pub cpu_time: Option<Duration>,
    /// Size of one written file in bytes.
    pub file_size: Option<u64>,
    /// Bytes that the writable directories may grow by, watched every second, and more often when few are left.
    pub disk: Option<u64>,
    /// Open files of one process.
    pub open_files: Option<u64>,
    /// Stack of the main thread in bytes.
    pub stack: Option<u64>,
}

impl Limits {
    /// No limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits memory to `bytes`.
    #[must_use]
    pub fn with_memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Says that the program reserves address space it does not use (sanitizers, Go, Java).
    #[must_use]
    pub fn with_sparse_memory(mut self) -> Self {
        self.sparse = true;
        self
    }

    /// Limits the processes and threads alive at once.
    #[must_use]
    pub fn with_processes(mut self, count: u64) -> Self {
        self.processes = Some(count);
        self
    }

    /// Limits the cores used at once.
    #[must_use]
    pub fn with_cores(mut self, cores: f64) -> Self {
        self.cores = Some(cores);
        self
    }

    /// Limits the CPU time of each process.
    #[must_use]
    pub fn with_cpu_time(mut self, time: Duration) -> Self {
        self.cpu_time = Some(time);
        self
    }

    /// Limits the size of each written file to `bytes`.
    #[must_use]
    pub fn with_file_size(mut self, bytes: u64) -> Self {
        self.file_size = Some(bytes);
        self
    }

    /// Limits what the writable directories may grow by to `bytes`.
    #[must_use]
    pub fn with_disk(mut self, bytes: u64) -> Self {
        self.disk = Some(bytes);
        self
    }

    /// Limits the open files of each process.
    #[must_use]
    pub fn with_open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// Sets the stack of the main thread to `bytes`.
    #[must_use]
    pub fn with_stack(mut self, bytes: u64) -> Self {
        self.stack = Some(bytes);
        self
    }
}
