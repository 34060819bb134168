//! The command line as data: each case in `tests/cli/*.case` is run against the built program.
//!
//! A case is a block of lines, blocks are separated by empty lines:
//!
//! ```text
//! # why this case is there
//! file a.py: text of a file, \n ends a line
//! env NAME=VALUE
//! $ crashwise workflow list
//! ? 0
//! > a line of standard output; `...` stands for any text, a line `...` for any lines
//! ! a line of standard error
//! = NAME
//! ~ until it does as the case says, the command is repeated
//! ```
//!
//! `= NAME` keeps the last line of standard output, which `{NAME}` stands for in later cases. The command `kill-owner` kills
//! the processes that carry out runs in the background.
//!
//! Each file of cases has a folder of its own, in which its cases run one after the other. Without a `>` line standard output
//! must be empty, without a `!` line standard error.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Case {
    line: usize,
    files: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    command: String,
    code: i32,
    output: Vec<String>,
    error: Vec<String>,
    kept_as: Option<String>,
    repeats: bool,
}

fn parse(text: &str) -> Vec<Case> {
    let mut cases = vec![Case::default()];
    for (n, line) in text.lines().enumerate() {
        let case = cases.last_mut().unwrap();
        match line.split_once(' ') {
            _ if line.is_empty() => cases.push(Case::default()),
            Some(("#", _)) => {}
            Some(("file", rest)) => {
                let (name, content) = rest.split_once(": ").unwrap();
                case.files.push((name.to_owned(), content.replace("\\n", "\n")));
            }
            Some(("env", rest)) => {
                let (name, value) = rest.split_once('=').unwrap();
                case.variables.push((name.to_owned(), value.to_owned()));
            }
            Some(("$", rest)) => {
                case.line = n + 1;
                rest.clone_into(&mut case.command);
            }
            Some(("?", rest)) => case.code = rest.parse().unwrap(),
            Some((">", rest)) => case.output.push(rest.to_owned()),
            Some(("!", rest)) => case.error.push(rest.to_owned()),
            Some(("~", _)) => case.repeats = true,
            Some(("=", rest)) => case.kept_as = Some(rest.to_owned()),
            None if line == ">" => case.output.push(String::new()),
            None if line == "!" => case.error.push(String::new()),
            _ => panic!("line {} of the cases means nothing: {line}", n + 1),
        }
    }
    cases.retain(|case| !case.command.is_empty() || !case.files.is_empty());
    cases
}

/// Arguments as a shell splits them, as far as cases need it.
fn split(command: &str) -> Vec<String> {
    let mut words = vec![];
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), close) if open == close => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn matches(expected: &[String], found: &[&str]) -> bool {
    match expected {
        [] => found.is_empty(),
        [first, rest @ ..] if first == "..." => (0..=found.len()).any(|skip| matches(rest, &found[skip..])),
        [first, rest @ ..] => found
            .split_first()
            .is_some_and(|(line, others)| line_matches(first, line.trim_end()) && matches(rest, others)),
    }
}

fn line_matches(expected: &str, found: &str) -> bool {
    match expected.split_once("...") {
        None => expected == found,
        Some((head, tail)) => found.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.is_char_boundary(at) && line_matches(tail, &rest[at..]))
        }),
    }
}

fn marked(mark: char, text: &str) -> String {
    text.lines().flat_map(|line| [mark.to_string(), " ".into(), line.into(), "\n".into()]).collect()
}

/// With what earlier cases kept in place of its name.
fn filled(text: &str, kept: &BTreeMap<String, String>) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Kills the processes that carry out runs of a folder in the background.
fn kill_owners(folder: &Path) {
    let state = folder.join(".state").to_string_lossy().into_owned();
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let arguments = fs::read_to_string(process.path().join("cmdline")).unwrap_or_default();
        let is_owner = arguments.contains(&state) && arguments.ends_with("runs\0own\0");
        if is_owner && let Some(id) = process.file_name().to_str() {
            #[allow(clippy::disallowed_methods, reason = "kills what this test started")]
            Command::new("kill").args(["-9", id]).status().unwrap();
        }
    }
}

fn run(case: &Case, folder: &Path, kept: &mut BTreeMap<String, String>) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let result = run_once(case, folder, kept);
        if result.is_ok() || !case.repeats || began.elapsed() > Duration::from_secs(30) {
            return result;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn run_once(case: &Case, folder: &Path, kept: &mut BTreeMap<String, String>) -> Result<(), String> {
    for (name, content) in &case.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    if case.command.is_empty() {
        return Ok(());
    }
    if case.command == "kill-owner" {
        kill_owners(folder);
        return Ok(());
    }
    let lines = |lines: &[String]| lines.iter().map(|line| filled(line, kept)).collect::<Vec<_>>();
    let (expected_output, expected_error) = (lines(&case.output), lines(&case.error));
    let words = split(&filled(&case.command, kept));
    let program = match words[0].as_str() {
        "crashwise" => env!("CARGO_BIN_EXE_crashwise"),
        "cw" => env!("CARGO_BIN_EXE_cw"),
        other => panic!("cases run crashwise or cw, not {other}"),
    };
    #[allow(clippy::disallowed_methods, reason = "runs the program under test")]
    let mut command = Command::new(program);
    command.args(&words[1..]).current_dir(folder).stdin(Stdio::null()).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("XDG_STATE_HOME", folder.join(".state")).env("XDG_CACHE_HOME", folder.join(".cache"));
    command.envs(case.variables.iter().map(|(name, value)| (name, value)));
    let output = command.output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    if let Some(name) = &case.kept_as {
        kept.insert(name.clone(), stdout.lines().last().unwrap_or_default().to_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or(-1);
    let fits = code == case.code
        && matches(&expected_output, &stdout.lines().collect::<Vec<_>>())
        && matches(&expected_error, &stderr.lines().collect::<Vec<_>>());
    if fits {
        return Ok(());
    }
    Err(format!(
        "line {}: $ {}\n? {code}\n{}{}",
        case.line,
        case.command,
        marked('>', &stdout),
        marked('!', &stderr)
    ))
}

fn check(name: &str, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let cases = parse(text);
    assert!(!cases.is_empty());
    let mut kept = BTreeMap::new();
    let failures: Vec<String> =
        cases.iter().filter_map(|case| run(case, folder.path(), &mut kept).err()).collect();
    kill_owners(folder.path());
    assert!(failures.is_empty(), "{name}: these did something else:\n\n{}", failures.join("\n"));
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("cli/", stringify!($name), ".case")));
        }
    )*};
}

cases!(corpus, usage, definitions, runs, control, workspaces, dependencies, secrets);
