//! Symbolic links of one archive, resolved as a graph before any of them exists.

use std::collections::BTreeMap;

use super::super::error::{Bound, Fault, Rule};
use super::super::limits::ExtractOptions;
use super::super::name::check_characters;

/// Links followed on the way to one target before it counts as a loop (the kernel's own number).
const FOLLOWED: usize = 40;

/// The symbolic links of one tree: normal path -> target as written.
#[derive(Debug, Default)]
pub(crate) struct Links {
    targets: BTreeMap<Vec<u8>, Vec<u8>>,
    bytes: u64,
}

impl Links {
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    pub(super) fn contains(&self, path: &[u8]) -> bool {
        self.targets.contains_key(path)
    }

    /// Whether a proper parent of the path is a link.
    pub(super) fn is_through(&self, path: &[u8]) -> bool {
        !self.is_empty()
            && (0..path.len()).filter(|&i| path[i] == b'/').any(|i| self.targets.contains_key(&path[..i]))
    }

    pub(super) fn add(&mut self, path: &[u8], target: &[u8], most: u64) -> Result<(), Fault> {
        // Besides the text each link costs two allocations and its place in the map.
        self.bytes += (path.len() + target.len() + 128) as u64;
        if self.bytes > most {
            return Err(Fault::Limit(Bound::Links, most));
        }
        self.targets.insert(path.to_vec(), target.to_vec());
        Ok(())
    }

    /// All links, sorted by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.targets.iter().map(|(path, target)| (path.as_slice(), target.as_slice()))
    }

    /// Checks a target and adds the link.
    pub(crate) fn offer(
        &mut self,
        path: &[u8],
        target: &[u8],
        options: &ExtractOptions,
    ) -> Result<(), Fault> {
        check_target(target, options)?;
        self.add(path, target, options.limits.link_bytes)
    }

    /// Follows every link to its end inside the root. The work over all links is bounded.
    pub(super) fn check(&self, most: u64) -> Result<(), (Vec<u8>, Fault)> {
        self.verdicts(most).try_for_each(|(path, _, verdict)| verdict.map_err(|fault| (path.to_vec(), fault)))
    }

    /// Every link with its target and whether it stays inside the root.
    pub(crate) fn verdicts(&self, most: u64) -> impl Iterator<Item = (&[u8], &[u8], Result<(), Fault>)> {
        // One step for every eight bytes is ten times what honest links need.
        let mut work = most / 8;
        self.iter().map(move |(path, target)| (path, target, self.follow(path, target, &mut work, most)))
    }

    fn follow(&self, path: &[u8], target: &[u8], work: &mut u64, most: u64) -> Result<(), Fault> {
        let parent = path.iter().rposition(|&b| b == b'/').unwrap_or(0);
        let mut at = path[..parent].to_vec();
        let mut ahead: Vec<&[u8]> = target.rsplit(|&b| b == b'/').collect();
        let mut followed = 0;
        while let Some(part) = ahead.pop() {
            // Each step costs a look-up of the path so far.
            *work = work.checked_sub(1 + at.len() as u64 / 16).ok_or(Fault::Limit(Bound::Links, most))?;
            match part {
                b"" | b"." => continue,
                b".." => {
                    if at.is_empty() {
                        return Err(Rule::SymlinkOutside.into());
                    }
                    let cut = at.iter().rposition(|&b| b == b'/').unwrap_or(0);
                    at.truncate(cut);
                    continue;
                }
                _ => {}
            }
            let before = at.len();
            if !at.is_empty() {
                at.push(b'/');
            }
            at.extend_from_slice(part);
            if let Some(next) = self.targets.get(&at) {
                followed += 1;
                if followed > FOLLOWED {
                    return Err(Rule::SymlinkLoop.into());
                }
                at.truncate(before);
                ahead.extend(next.rsplit(|&b| b == b'/'));
            }
        }
        Ok(())
    }
}

/// Checks a target for itself: there, relative, and of characters that names may have.
pub(super) fn check_target(target: &[u8], options: &ExtractOptions) -> Result<(), Fault> {
    if target.is_empty() {
        return Err(Rule::SymlinkTarget.into());
    }
    if target.len() > options.limits.path_bytes {
        return Err(Fault::Limit(Bound::PathBytes, options.limits.path_bytes as u64));
    }
    if target[0] == b'/' {
        return Err(Rule::SymlinkAbsolute.into());
    }
    check_characters(target, options).map_err(|fault| match fault {
        Fault::Rule(_) => Rule::SymlinkTarget.into(),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(links: &[(&str, &str)]) -> Option<Rule> {
        let mut all = Links::default();
        for (path, target) in links {
            all.add(path.as_bytes(), target.as_bytes(), 1 << 20).expect("few");
        }
        match all.check(1 << 20) {
            Ok(()) => None,
            Err((_, Fault::Rule(rule))) => Some(rule),
            Err((_, fault)) => panic!("{fault}"),
        }
    }

    #[test]
    fn links_are_followed_as_the_kernel_would() {
        assert_eq!(check(&[("a", "b")]), None);
        assert_eq!(check(&[("d/a", "../b/./c")]), None);
        assert_eq!(check(&[("cur", "."), ("x", "cur/cur/y")]), None);
        assert_eq!(check(&[("a", "..")]), Some(Rule::SymlinkOutside));
        assert_eq!(check(&[("d/a", "../../b")]), Some(Rule::SymlinkOutside));
        assert_eq!(check(&[("cur", "."), ("par", "cur/..")]), Some(Rule::SymlinkOutside));
        assert_eq!(check(&[("d/up", ".."), ("x", "d/up/../y")]), Some(Rule::SymlinkOutside));
        assert_eq!(check(&[("a", "a")]), Some(Rule::SymlinkLoop));
        assert_eq!(check(&[("a", "b"), ("b", "a")]), Some(Rule::SymlinkLoop));
        assert_eq!(check(&[("a", "a/x")]), Some(Rule::SymlinkLoop));
    }

    #[test]
    fn tangled_links_cost_bounded_work() {
        let mut all = Links::default();
        let target = "l0/".repeat(1300);
        all.add(b"l0", b".", 1 << 24).expect("few");
        for i in 1..1000 {
            all.add(format!("l{i}").as_bytes(), target.as_bytes(), 1 << 24).expect("few");
        }
        assert!(all.check(1 << 20).is_err());
    }
}
