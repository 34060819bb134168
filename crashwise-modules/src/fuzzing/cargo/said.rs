//! What a build that failed said, made short.

/// Bytes that are kept of the beginning, and of the end.
const KEPT: [usize; 2] = [1500, 2500];

/// What cargo and the compiler say from the first error on. What a build script tells cargo by the dozen is left out, and the
/// middle of what is still long.
pub(super) fn essence(log: &str) -> String {
    let start = if log.starts_with("error") { 0 } else { log.find("\nerror").map_or(0, |at| at + 1) };
    let lines: Vec<&str> = log[start..].lines().filter(|line| !is_bookkeeping(line)).collect();
    let said = lines.join("\n");
    let said = said.trim();
    if said.len() <= KEPT[0] + KEPT[1] {
        return said.to_owned();
    }
    let (head, tail) = (said.floor_char_boundary(KEPT[0]), said.ceil_char_boundary(said.len() - KEPT[1]));
    format!("{}\n[...]\n{}", said[..head].trim_end(), said[tail..].trim_start())
}

/// Whether a line is an instruction for cargo that says nothing of what failed, or a variable that a build script looked up.
fn is_bookkeeping(line: &str) -> bool {
    let line = line.trim_start();
    let instruction = line.strip_prefix("cargo:").map(|rest| rest.strip_prefix(':').unwrap_or(rest));
    let variable = || {
        let (name, value) = line.split_once(" = ")?;
        let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        Some(named && (value == "None" || value.starts_with("Some(")))
    };
    instruction.is_some_and(|rest| rest.starts_with("rerun-if-") || rest.starts_with("rustc-"))
        || variable().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::essence;

    #[test]
    fn what_failed_is_kept() {
        let script = "   Compiling some v0.1.0\nerror: failed to run custom build command for `some v0.1.0`\n\nCaused by:\n  \
            process didn't exit successfully: `build-script-build` (exit status: 1)\n  --- stdout\n  \
            cargo:rerun-if-env-changed=CXX\n  CXX = None\n  cargo::rerun-if-changed=a.cpp\n  \
            CXXFLAGS_x86_64-unknown-linux-gnu = Some(\"-O2\")\n  cargo:rustc-link-lib=stdc++\n  \
            cargo:warning=a.cpp:9:1: fatal error: No space left on device\n  let x = None;\n";
        assert_eq!(
            essence(script),
            "error: failed to run custom build command for `some v0.1.0`\n\nCaused by:\n  \
             process didn't exit successfully: `build-script-build` (exit status: 1)\n  --- stdout\n  \
             cargo:warning=a.cpp:9:1: fatal error: No space left on device\n  let x = None;"
        );
        assert_eq!(essence("error: no such target\n"), "error: no such target");
        assert_eq!(essence("killed\n"), "killed");
        let long = format!("error[E0425]: first\n{}error: last", "  = note: ä\n".repeat(1000));
        let short = essence(&long);
        assert!(short.len() < 4100 && short.starts_with("error[E0425]: first\n"), "{short}");
        assert!(short.contains("\n[...]\n") && short.ends_with("error: last"), "{short}");
    }
}
