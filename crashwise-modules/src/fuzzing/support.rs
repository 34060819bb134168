//! Programs that make what fuzzing finds better, and without which it goes on.

use crashwise_core::process::{find_tool, install_hint};
use crashwise_core::{CancellationToken, error_chain};

use super::coverage::{clang_tools, rust_tools};
use super::libfuzzer::symbolizer;

/// Something that fuzzing makes use of where it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Support {
    /// What it does: `lines in reports`, `coverage of Rust`.
    pub name: &'static str,
    /// Whether the programs for it are there.
    pub available: bool,
    /// Which they are, or what is lost and how to get them.
    pub detail: String,
}

/// Modules whose targets are built with sanitizers, or run without any.
const NATIVE: &[&str] = &["afl_fuzzer", "cargo_fuzzer", "libfuzzer_fuzzer", "regression_fuzzer"];
/// What one program does for some modules, and what is lost without.
const HELPERS: [(&str, &str, &str, &[&str]); 4] = [
    ("lines in reports", "llvm-symbolizer", "stacks of sanitizers name neither functions nor lines", NATIVE),
    ("stacks without a sanitizer", "gdb", "crashes of one signal count as one", NATIVE),
    ("smaller crashes", "afl-tmin", "those of AFL++ are made smaller more slowly", &["afl_fuzzer"]),
    ("smaller corpora", "afl-cmin", "those of AFL++ only grow", &["afl_fuzzer"]),
];
const COVERAGE: [(&str, &str, &str); 2] =
    [("coverage of Rust", "rustc", "cargo_fuzzer"), ("coverage of C", "clang", "libfuzzer_fuzzer")];

/// Looks for what modules of these names make use of, coverage reports among it: whether their tools read what the compilers
/// here write.
pub async fn support(modules: &[&str]) -> Vec<Support> {
    let mut found = Vec::new();
    for (name, program, without, of) in HELPERS {
        if !modules.iter().any(|module| of.contains(module)) {
            continue;
        }
        let path = match program {
            "llvm-symbolizer" => symbolizer().map(ToOwned::to_owned),
            _ => find_tool(program).ok(),
        };
        let available = path.is_some();
        let detail = path.map_or_else(
            || format!("no {program}: {without}; {}", install_hint(program)),
            |path| path.display().to_string(),
        );
        found.push(Support { name, available, detail });
    }
    let cancel = CancellationToken::new();
    for (name, compiler, module) in COVERAGE {
        if !modules.contains(&module) || find_tool(compiler).is_err() {
            continue;
        }
        let tools = match compiler {
            "rustc" => rust_tools(None, &cancel).await,
            _ => clang_tools(&cancel).await,
        };
        let available = tools.is_ok();
        let detail = tools.map_or_else(|error| error_chain(&error), |tools| tools.to_string());
        found.push(Support { name, available, detail });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{HELPERS, support};

    #[tokio::test]
    async fn what_is_asked_for_is_told() {
        let found = support(&["afl_fuzzer"]).await;
        assert_eq!(found.len(), HELPERS.len());
        for (helper, told) in HELPERS.iter().zip(&found) {
            assert_eq!(told.available, !told.detail.contains(helper.2), "{told:?}");
        }
        assert!(support(&["secret_scanner"]).await.is_empty());
    }
}
