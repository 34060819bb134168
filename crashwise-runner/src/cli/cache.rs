//! `crashwise cache`: what the cache of workspaces holds, and making room in it.

use super::exit::{Exit, Failure};
use super::explain;
use super::terminal::{BOLD, Terminal};
use super::workspaces::cache_config;
use clap::{Args, Subcommand};
use crashwise_core::cache::{Cache, Pruned};
use crashwise_core::{ByteSize, error_chain};
use serde::Serialize;
use std::path::PathBuf;
use std::time::SystemTime;

#[derive(Debug, Args)]
pub(super) struct CacheCommand {
    /// Where the cache is; the user's cache folder unless given
    #[arg(long, global = true, env = "CACHE_DIR", value_name = "DIR", hide_env_values = true)]
    cache_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Show where it is, how large it is and may become
    Info,
    /// List its targets, the most recently used first
    List,
    /// Look for damage and remove what is damaged, so that it is fetched again; ends with 1 if there was any, with 2 if some is in use
    Verify {
        /// Compare every tree with its archive byte by byte
        #[arg(long)]
        deep: bool,
    },
    /// Remove what is too old or too much
    Prune {
        /// Only tell what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove everything that is not in use
    Clear,
}

/// A cached target, for programs.
#[derive(Debug, Serialize)]
struct Entry {
    target: String,
    bytes: u64,
    /// Seconds since 1970.
    last_used: u64,
    in_use: bool,
}

pub(super) fn run(command: &CacheCommand, terminal: &Terminal) -> Result<Exit, Failure> {
    let failed = |error| Failure::failed(error_chain(&error));
    let cache =
        Cache::open(cache_config(command.cache_dir.as_deref())?.without_eviction()).map_err(failed)?;
    let json = command.json;
    match command.action {
        Action::Info => info(&cache, json, terminal),
        Action::List => list(&cache, json, terminal),
        Action::Verify { deep } => verify(&cache, deep, json, terminal),
        Action::Prune { dry_run } => removed(&cache.prune(dry_run).map_err(failed)?, dry_run, json, terminal),
        Action::Clear => removed(&cache.clear().map_err(failed)?, false, json, terminal),
    }
}

/// A size to three digits.
pub(super) fn size(bytes: u64) -> String {
    let mut unit = "B";
    let mut scale = 1u64;
    for (name, factor) in [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)] {
        if bytes >= factor {
            (unit, scale) = (name, factor);
        }
    }
    let tenths = bytes / (scale / 10).max(1);
    if scale == 1 || tenths >= 1000 {
        format!("{} {unit}", bytes / scale)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

fn info(cache: &Cache, json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let info = cache.info().map_err(|error| Failure::failed(error_chain(&error)))?;
    let most = ByteSize::bytes(info.max_size);
    terminal.print(|out| {
        if json {
            let value = serde_json::json!({
                "directory": info.directory, "targets": info.targets, "bytes": info.bytes, "max_bytes": most,
                "ttl": info.ttl, "writable": info.writable, "copy_on_write": info.copy_on_write.as_str(),
            });
            return explain::json(out, &value);
        }
        writeln!(
            out,
            "{BOLD}{}{BOLD:#}{}",
            info.directory.display(),
            if info.writable { "" } else { " (read-only)" }
        )?;
        writeln!(out, "  targets        {}", info.targets)?;
        writeln!(out, "  size           {} of {}", size(info.bytes), size(most))?;
        writeln!(out, "  unused for     {} until evicted", info.ttl)?;
        writeln!(out, "  copy-on-write  {}", info.copy_on_write)
    })?;
    Ok(Exit::Clean)
}

fn list(cache: &Cache, json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let entries = cache.list().map_err(|error| Failure::failed(error_chain(&error)))?;
    let seconds =
        |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let entries: Vec<Entry> = entries
        .into_iter()
        .map(|entry| Entry {
            target: entry.target.to_string(),
            bytes: entry.bytes,
            last_used: seconds(entry.last_used),
            in_use: entry.in_use,
        })
        .collect();
    let now = seconds(SystemTime::now());
    terminal.print(|out| {
        if json {
            return explain::json(out, &entries);
        }
        for entry in &entries {
            let minutes = now.saturating_sub(entry.last_used) / 60;
            let age = match minutes {
                0..60 => format!("{minutes} min"),
                60..2880 => format!("{} h", minutes / 60),
                _ => format!("{} d", minutes / 1440),
            };
            let used = if entry.in_use { "in use" } else { "" };
            writeln!(out, "{}  {:>9}  {age:>7}  {used}", entry.target, size(entry.bytes))?;
        }
        Ok(())
    })?;
    Ok(Exit::Clean)
}

/// Damage that could be removed is mended; damage in use is not.
fn verify(cache: &Cache, deep: bool, json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    let targets = cache.list().map_err(|error| Failure::failed(error_chain(&error)))?.len();
    let damages = cache.verify(deep).map_err(|error| Failure::failed(error_chain(&error)))?;
    terminal.print(|out| {
        if json {
            let rows: Vec<_> = damages
                .iter()
                .map(|damage| serde_json::json!({"target": damage.target, "part": damage.part, "removed": damage.removed}))
                .collect();
            return explain::json(out, &rows);
        }
        for damage in &damages {
            let then = if damage.removed { "removed" } else { "in use, stays" };
            writeln!(out, "{}  {} is damaged: {then}", damage.target, damage.part)?;
        }
        match damages.len() {
            0 => writeln!(out, "checked {targets} targets, nothing is damaged"),
            many => writeln!(out, "checked {targets} targets, {many} damaged"),
        }
    })?;
    Ok(match damages.iter().all(|damage| damage.removed) {
        _ if damages.is_empty() => Exit::Clean,
        true => Exit::Findings,
        false => Exit::Incomplete,
    })
}

fn removed(pruned: &Pruned, dry_run: bool, json: bool, terminal: &Terminal) -> Result<Exit, Failure> {
    terminal.print(|out| {
        if json {
            let value = serde_json::json!({
                "targets": pruned.targets, "bytes": pruned.bytes, "in_use": pruned.in_use, "dry_run": dry_run,
            });
            return explain::json(out, &value);
        }
        let verb = if dry_run { "would remove" } else { "removed" };
        for target in &pruned.targets {
            writeln!(out, "{verb} {target}")?;
        }
        for target in &pruned.in_use {
            writeln!(out, "in use, stays: {target}")?;
        }
        writeln!(out, "{verb} {} targets, {}", pruned.targets.len(), size(pruned.bytes))
    })?;
    Ok(Exit::Clean)
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_have_few_digits() {
        for (bytes, expect) in
            [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123_456, "123 kB"), (10_000_000_000, "10.0 GB")]
        {
            assert_eq!(size(bytes), expect);
        }
    }
}
