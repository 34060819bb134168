//! The stack of a program that dies of a signal and says nothing, by gdb where it is installed.

use std::path::Path;

use crashwise_core::process::find_tool;

use super::target::Target;

/// Frames that are asked for.
const FRAMES: &str = "backtrace 256";
/// How far from the stack's end a fault counts as its overflow, in bytes.
const NEAR: u64 = 64 << 10;

/// `target` below the debugger, with its standard input from a file if one is named; `None` where there is no debugger.
pub(super) fn below(target: &Target, stdin: Option<&Path>) -> Option<Target> {
    let run = match stdin {
        Some(path) => format!("run < '{}'", path.display()),
        None => "run".to_owned(),
    };
    let commands = [&run, "print/x $sp", "print/x $_siginfo._sifields._sigfault.si_addr", FRAMES];
    let first = ["-quiet", "-batch", "-nx", "-iex", "set debuginfod enabled off"].into_iter();
    let asked = first.chain(commands.into_iter().flat_map(|command| ["-ex", command])).chain(["--args"]);
    let mut below = target.clone().with_readable(&target.program);
    below.program = find_tool("gdb").ok()?;
    below.traced = true;
    below.args = asked.map(String::from).chain([target.program.to_string_lossy().into_owned()]).collect();
    below.args.extend(target.args.iter().cloned());
    Some(below)
}

/// What gdb said, from the signal on, as triage reads it. A fault just beside the top of the stack is the overflow of it.
pub(super) fn told(log: &str) -> Option<String> {
    let from = log.find("\nProgram received signal ")?;
    let mut told = log[from..].to_owned();
    let value = |name: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = 0x"))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    if let (Some(top), Some(fault)) = (value("$1"), value("$2"))
        && told.contains("signal SIGSEGV")
        && top.abs_diff(fault) < NEAR
    {
        told.insert_str(0, "\nthread 'main' has overflowed its stack\n");
    }
    Some(told)
}

#[cfg(test)]
mod tests {
    use super::told;
    use crate::fuzzing::triage::{Scope, triage};

    fn log(top: &str, fault: &str) -> String {
        format!(
            "[Thread debugging using libthread_db enabled]\n\nProgram received signal SIGSEGV, Segmentation fault.\n\
             0x0000555555555139 in item (k=6) at c.c:18\n18\t case 6: return item(k);\n$1 = {top}\n$2 = {fault}\n\
             #0  0x0000555555555139 in item (k=6) at c.c:18\n#1  0x0000555555555199 in list (k=5) at c.c:40\n\
             #2  0x0000555555555139 in item (k=4) at c.c:18\n#3  0x0000555555555199 in list (k=3) at c.c:40\n\
             #4  0x0000555555555139 in item (k=2) at c.c:18\n#5  0x0000555555555199 in list (k=1) at c.c:40\n\
             #6  0x0000555555555219 in main (c=2, v=0x7ffe) at c.c:60\n"
        )
    }

    #[test]
    fn a_fault_beside_the_stack_is_its_overflow() {
        for (top, fault, expect) in [
            ("0x7fffff7feff0", "0x7fffff7fefe8", "stack-overflow"),
            ("0x7fffffffe000", "0x0", "segv"),
            ("void", "0x0", "segv"),
        ] {
            let told = told(&log(top, fault)).expect("a signal");
            let report = triage(told.as_bytes(), &Scope::new()).expect("a report");
            assert_eq!((report.kind.as_str(), report.frames.len()), (expect, 7), "{told}");
            assert_eq!(report.blame().expect("a frame").to_string(), "c.c:18", "{top}");
        }
        assert_eq!(told("[Inferior 1 (process 7) exited normally]\nNo stack.\n"), None);
    }
}
