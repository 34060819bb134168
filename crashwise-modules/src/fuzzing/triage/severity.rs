use serde::{Deserialize, Serialize};

use super::report::{Access, AccessKind};

/// Addresses below this are taken for a null pointer with an offset.
pub(super) const NEAR_NULL: u64 = 64 << 10;

/// How likely a crash can be turned into an attack. The classes and what belongs to them are those of CASR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exploitability {
    /// A denial of service at most.
    NotExploitable,
    /// It may be.
    ProbablyExploitable,
    /// Memory or control flow is in the hands of the input.
    Exploitable,
}

impl Exploitability {
    pub(super) fn of(
        (kind, cause): (&str, Option<&str>),
        access: Option<Access>,
        address: Option<u64>,
    ) -> Self {
        use Exploitability::{Exploitable, NotExploitable, ProbablyExploitable};
        let access = access.map_or(AccessKind::Unknown, |access| access.kind);
        let near_null = address.is_some_and(|address| address < NEAR_NULL);
        match kind {
            "heap-buffer-overflow"
            | "global-buffer-overflow"
            | "stack-buffer-overflow"
            | "stack-buffer-underflow"
            | "dynamic-stack-buffer-overflow"
            | "intra-object-overflow"
            | "heap-use-after-free"
            | "stack-use-after-return"
            | "stack-use-after-scope"
            | "container-overflow" => match access {
                AccessKind::Write => Exploitable,
                AccessKind::Read => NotExploitable,
                _ => ProbablyExploitable,
            },
            "segv" | "bus" => match (access, near_null) {
                (AccessKind::Execute | AccessKind::Write, false) => Exploitable,
                (AccessKind::Execute | AccessKind::Write, true) => ProbablyExploitable,
                _ => NotExploitable,
            },
            "security-issue" => match cause {
                Some("FuzzerSecurityIssueLow") => NotExploitable,
                Some("FuzzerSecurityIssueMedium") => ProbablyExploitable,
                _ => Exploitable,
            },
            "param-overlap" | "invalid-write" => Exploitable,
            "use-after-poison"
            | "negative-size-param"
            | "calloc-overflow"
            | "reallocarray-overflow"
            | "pvalloc-overflow"
            | "overwrites-const-input"
            | "ill"
            | "stack-smashing"
            | "heap-corruption"
            | "tag-mismatch"
            | "stack-tag-mismatch"
            | "bad-cast"
            | "cfi-bad-cast"
            | "pure-virtual-call" => ProbablyExploitable,
            _ => NotExploitable,
        }
    }
}
