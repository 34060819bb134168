//! Parameters given as flags: `--staged` is `staged=true`, `--range=a..b` is `range=a..b`.

use clap::{Command, CommandFactory as _};
use std::ffi::OsString;

use super::args::Cli;

/// The arguments of a process with the flags of `workflow run` and `module run` that are no options of the program put
/// behind the others as `KEY=VALUE`.
pub(super) fn as_parameters(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let program = Cli::command();
    let Some((run, name)) = run_of(&program, &args) else { return args };
    let known = options(&program, run);
    let expected = parameters_of(name);
    let end = args.iter().position(|arg| arg == "--").unwrap_or(args.len());
    let mut parameters = Vec::new();
    let mut at = 0;
    args.retain(|arg| {
        let here = at;
        at += 1;
        let parameter =
            (here < end).then(|| arg.to_str().and_then(|text| parameter(text, &known, &expected))).flatten();
        let keep = parameter.is_none();
        parameters.extend(parameter.map(OsString::from));
        keep
    });
    args.extend(parameters);
    args
}

/// The subcommand `run` that the arguments name, and what it is to run.
fn run_of<'c, 'a>(program: &'c Command, args: &'a [OsString]) -> Option<(&'c Command, &'a str)> {
    let words: Vec<&str> = args.iter().skip(1).filter_map(|arg| arg.to_str()).collect();
    let group = words.iter().position(|word| matches!(*word, "workflow" | "module"))?;
    let mut rest = words.get(group + 1..)?.iter().filter(|word| !word.starts_with('-'));
    let run = rest.next().filter(|word| **word == "run")?;
    let command = program.find_subcommand(words[group])?.find_subcommand(run)?;
    Some((command, rest.next().copied().unwrap_or_default()))
}

/// The parameters of a workflow or module that comes with the program.
fn parameters_of(name: &str) -> Vec<String> {
    let workflows = crate::workflows::named();
    let workflow = workflows.iter().find(|(known, _)| *known == name);
    let schema = workflow.map(|(_, code)| code.metadata().parameters).or_else(|| {
        let modules = crashwise_modules::registry();
        modules.find(name).ok().map(|module| module.config_schema())
    });
    let names = |schema: serde_json::Value| {
        schema.get("properties")?.as_object().map(|all| all.keys().cloned().collect())
    };
    schema.and_then(names).unwrap_or_default()
}

fn options(program: &Command, run: &Command) -> Vec<String> {
    let longs = program.get_arguments().chain(run.get_arguments()).filter_map(|arg| arg.get_long());
    longs.chain(["help", "version"]).map(str::to_owned).collect()
}

/// `key=value` for a flag that is no option and hardly a mistyped one.
fn parameter(arg: &str, known: &[String], expected: &[String]) -> Option<String> {
    let flag = arg.strip_prefix("--").filter(|flag| flag.starts_with(|c: char| c.is_ascii_lowercase()))?;
    let (key, value) = flag.split_once('=').unwrap_or((flag, "true"));
    let is_name = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    if !is_name || known.iter().any(|option| option == key) {
        return None;
    }
    let key = key.replace('-', "_");
    let is_expected = expected.iter().any(|name| Some(name.as_str()) == key.split('.').next());
    if !is_expected && crashwise_core::nearest(&key, known.iter().map(String::as_str)).is_some() {
        return None;
    }
    Some(format!("{key}={value}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_runs_become_parameters() {
        for (given, expect) in [
            ("c workflow run secret_detection --staged", "c workflow run secret_detection staged=true"),
            ("c workflow run x --range=a..b . -o r.json", "c workflow run x . -o r.json range=a..b"),
            ("c -q workflow run x --max-commits=5 .", "c -q workflow run x . max_commits=5"),
            (
                "c module run secret_scanner --source=history .",
                "c module run secret_scanner . source=history",
            ),
            ("c workflow run x . --fail-on high --quiet", "c workflow run x . --fail-on high --quiet"),
            ("c workflow run x . --fial-on high", "c workflow run x . --fial-on high"),
            ("c workflow run secret_detection -- --staged", "c workflow run secret_detection -- --staged"),
            ("c workflow list --jsn", "c workflow list --jsn"),
            ("c doctor --all", "c doctor --all"),
        ] {
            let args = as_parameters(given.split(' ').map(OsString::from));
            let found: Vec<&str> = args.iter().filter_map(|arg| arg.to_str()).collect();
            assert_eq!(found.join(" "), expect);
        }
    }
}
