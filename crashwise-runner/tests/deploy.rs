//! The files of `docs/temporal` are what the tools that read them expect, and what they ask of `crashwise` is there.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test, which starts the program")]

use crashwise_core::Document;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/temporal")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// The flags and the variables of `crashwise worker`.
fn known() -> (BTreeSet<String>, String) {
    let program = env!("CARGO_BIN_EXE_crashwise");
    let help = Command::new(program).args(["worker", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split(|c: char| c.is_whitespace() || c == ',' || c == '[' || c == ']' || c == ':');
    (words.filter(|word| word.starts_with("--")).map(str::to_owned).collect(), help)
}

/// Checks a command line of the program, without its name.
fn check_command(words: &[&str]) {
    let (flags, _) = known();
    assert_eq!(words.first(), Some(&"worker"), "{words:?}");
    let given = words.iter().filter(|word| word.starts_with("--"));
    for flag in given {
        assert!(flags.contains(*flag), "{flag} is none of {flags:?}");
    }
    // Its values are read too: with an address that is none, nothing else is wrong.
    let mut command = Command::new(env!("CARGO_BIN_EXE_crashwise"));
    let none = ["--temporal", "ftp://nowhere", "--store", "/tmp"];
    let failed = command.args(words).args(none).output().unwrap();
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("ftp://nowhere"), "{words:?}: {said}");
}

#[test]
fn compose_file() {
    let document = Document::parse("compose.yaml", &text("compose.yaml")).unwrap();
    let compose = document.value();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(
        services.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        ["store", "temporal", "worker"].into()
    );
    for (name, service) in services {
        let image = service["image"].as_str();
        assert!(image.is_some() != service["build"].is_object(), "{name} has an image or is built");
        let pinned = image.is_none_or(|image| image.rsplit(':').next().is_some_and(|tag| tag.contains('.')));
        assert!(pinned, "{name}: {image:?} names a version");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} listens to this machine only");
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().unwrap().split(':').next().unwrap();
            assert!(compose["volumes"].get(volume).is_some(), "{name}: volume {volume} is declared");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(needed.0), "{name} needs {}", needed.0);
        }
    }
    let worker = &services["worker"];
    let file = worker["build"]["dockerfile"].as_str().unwrap();
    assert!(folder().join(worker["build"]["context"].as_str().unwrap()).join(file).is_file(), "{file}");
    let command: Vec<&str> =
        worker["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    check_command(&command);
    let (store, worker) = (&services["store"]["environment"], &worker["environment"]);
    assert_eq!(store["MINIO_ROOT_USER"], worker["S3_ACCESS_KEY"]);
    assert_eq!(store["MINIO_ROOT_PASSWORD"], worker["S3_SECRET_KEY"]);
    let host =
        |name: &str| worker[name].as_str().unwrap().rsplit('/').next().unwrap().split(':').next().unwrap();
    assert!(services.contains_key(host("TEMPORAL_ADDRESS")) && services.contains_key(host("S3_ENDPOINT")));
}

#[test]
fn container_file() {
    let text = text("Containerfile").replace("\\\n", " ");
    let lines: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once(' ').unwrap())
        .collect();
    let instructions =
        ["FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"];
    for (instruction, _) in &lines {
        assert!(instructions.contains(instruction), "{instruction} is no instruction");
    }
    let of =
        |wanted: &'static str| lines.iter().filter(move |(name, _)| *name == wanted).map(|(_, rest)| *rest);
    assert!(of("FROM").all(|image| image.split(' ').next().unwrap().contains(':')), "images have versions");
    // The program is built as this workspace builds it, and does not run as root.
    let install = of("RUN").find(|run| run.contains("cargo install")).unwrap();
    for part in ["--locked", "--path crashwise-runner", "--features temporal", "--bin crashwise"] {
        assert!(install.contains(part), "{install}");
    }
    assert_eq!(of("USER").collect::<Vec<_>>(), ["crashwise"]);
    let entry: Vec<String> = serde_json::from_str(of("ENTRYPOINT").next().unwrap()).unwrap();
    assert!(of("COPY").any(|copy| copy.ends_with(entry[0].as_str())), "{entry:?}");
    let command: Vec<String> = serde_json::from_str(of("CMD").next().unwrap()).unwrap();
    check_command(&command.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn systemd_unit() {
    let text = text("crashwise-worker.service");
    let mut section = "";
    let mut entries = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line:?} is no entry"));
        assert!(key.chars().all(char::is_alphanumeric), "{line}");
        entries.push((section, key, value));
    }
    let sections: BTreeSet<&str> = entries.iter().map(|entry| entry.0).collect();
    assert_eq!(sections, ["Install", "Service", "Unit"].into());
    let one = |wanted: &str| {
        let found: Vec<&str> =
            entries.iter().filter(|entry| entry.1 == wanted).map(|entry| entry.2).collect();
        assert_eq!(found.len(), 1, "{wanted}");
        found[0]
    };
    let command: Vec<&str> = one("ExecStart").split(' ').collect();
    assert_eq!(command[0], "/usr/local/bin/crashwise");
    check_command(&command[1..]);
    // systemd waits longer than the worker.
    let seconds = |text: &str| text.trim_end_matches('s').parse::<u64>().unwrap();
    let grace = command.iter().position(|word| *word == "--grace").unwrap();
    assert!(seconds(one("TimeoutStopSec")) > seconds(command[grace + 1]));
}

#[test]
fn the_page_names_flags_and_variables_that_there_are() {
    let (flags, help) = known();
    let page = std::fs::read_to_string(folder().join("../temporal.md")).unwrap();
    let table = page.split("| flag | environment |").nth(1).unwrap().split("## Deploying").next().unwrap();
    let mut seen = 0;
    for word in table.split('`').filter(|word| word.starts_with("--") && *word != "--engine") {
        assert!(flags.contains(word), "{word} is none of {flags:?}");
        seen += 1;
    }
    assert!(seen >= 8, "{seen}");
    for variable in ["TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "TEMPORAL_API_KEY", "CRASHWISE_STORE"] {
        assert!(help.contains(variable) && table.contains(variable), "{variable}");
    }
}
