use std::fs;
use std::path::Path;

use crashwise_core::testing::{ModuleTest, ModuleTestResult};
use crashwise_core::{CoverageStatus, GapReason, ModuleError};
use gix::ObjectId;
use gix::objs::{Commit, Tree, tree};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::secrets::SecretScan;

/// A password that appears nowhere but in the planted files.
const CANARY: &str = "Zq9!canary#77";
const OTHER: &str = "Kx4!zebra%51q";

/// A repository that is made object by object.
struct Made {
    dir: TempDir,
    repo: gix::Repository,
}

impl Made {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let repo = gix::init(dir.path()).expect("a repository");
        Self { dir, repo }
    }

    fn root(&self) -> &Path {
        self.dir.path()
    }

    fn tree(&self, files: &[(&str, &str)]) -> ObjectId {
        let mut tree = Tree::empty();
        let mut folders: Vec<(&str, Vec<(&str, &str)>)> = Vec::new();
        for (path, content) in files {
            match path.split_once('/') {
                Some((folder, rest)) => match folders.iter_mut().find(|(name, _)| *name == folder) {
                    Some((_, inner)) => inner.push((rest, content)),
                    None => folders.push((folder, vec![(rest, content)])),
                },
                None => tree.entries.push(tree::Entry {
                    mode: tree::EntryKind::Blob.into(),
                    filename: (*path).into(),
                    oid: self.repo.write_blob(content).expect("a blob").detach(),
                }),
            }
        }
        for (name, inner) in folders {
            let oid = self.tree(&inner);
            tree.entries.push(tree::Entry { mode: tree::EntryKind::Tree.into(), filename: name.into(), oid });
        }
        tree.entries.sort();
        self.repo.write_object(tree).expect("a tree").detach()
    }

    /// A commit at a second; the branch `main` then names it.
    fn commit(&self, at: i64, parents: &[ObjectId], files: &[(&str, &str)]) -> ObjectId {
        self.say("m", at, parents, files)
    }

    /// A commit with a message.
    fn say(&self, message: &str, at: i64, parents: &[ObjectId], files: &[(&str, &str)]) -> ObjectId {
        let who = gix::actor::Signature {
            name: "Ann Author".into(),
            email: "ann@example.com".into(),
            time: gix::date::Time::new(1_700_000_000 + at, 3600),
        };
        let commit = Commit {
            tree: self.tree(files),
            parents: parents.iter().copied().collect(),
            author: who.clone(),
            committer: who,
            encoding: None,
            message: message.into(),
            extra_headers: Vec::new(),
        };
        let id = self.repo.write_object(commit).expect("a commit").detach();
        self.branch("main", id);
        fs::write(self.root().join(".git/HEAD"), "ref: refs/heads/main\n").expect("written");
        id
    }

    fn branch(&self, name: &str, id: ObjectId) {
        fs::write(self.root().join(".git/refs/heads").join(name), format!("{id}\n")).expect("written");
    }

    /// Stages exactly these files.
    fn stage(&self, files: &[(&str, &str)], name: &str) {
        let mut index = self.repo.index_from_tree(&self.tree(files)).expect("an index");
        index.set_path(self.root().join(".git").join(name));
        index.write(gix::index::write::Options::default()).expect("written");
    }

    fn object(&self, id: ObjectId) -> std::path::PathBuf {
        let hex = id.to_string();
        self.root().join(".git/objects").join(&hex[..2]).join(&hex[2..])
    }

    async fn scan(&self, config: Value) -> Result<ModuleTestResult, ModuleError> {
        ModuleTest::new(SecretScan::new()).config(config).tree(self.root()).run().await
    }
}

fn line(name: &str, secret: &str) -> String {
    format!("{name} = \"{secret}\"\n")
}

#[tokio::test]
async fn history_is_scanned_once_per_blob_and_names_the_first_commit() {
    let made = Made::new();
    let secret = line("password", CANARY);
    let first = made.commit(0, &[], &[("a.txt", "x\n")]);
    let second = made.commit(10, &[first], &[("a.txt", "x\n"), ("lib/app.py", &secret)]);
    let third = made.commit(20, &[second], &[("a.txt", "y\n"), ("lib/app.py", &secret), ("z.py", &secret)]);
    made.commit(30, &[third], &[("a.txt", "y\n")]);
    let kept = line("pwd", OTHER);
    let side = made.commit(15, &[first], &[("side.py", &kept)]);
    made.branch("side", side);
    made.commit(40, &[third, side], &[("a.txt", "y\n"), ("side.py", &kept)]);

    let result = made.scan(json!({"source": "history"})).await.expect("a result");
    assert_eq!(
        result.places(),
        ["secret/generic-password lib/app.py:1:13", "secret/generic-password side.py:1:8"]
    );
    let gone = &result.findings[0];
    assert_eq!(gone.evidence["commit"], second.to_string());
    assert_eq!(gone.evidence["in_head"], false);
    assert_eq!(gone.evidence["author"], "Ann Author <ann@example.com>");
    assert_eq!(gone.evidence["date"], "2023-11-14T23:13:30+01:00");
    assert_eq!(gone.evidence["occurrences"], 1, "the blob is read once, however often it is named");
    let there = &result.findings[1];
    assert_eq!(
        (&there.evidence["commit"], &there.evidence["in_head"]),
        (&json!(side.to_string()), &json!(true))
    );
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
    assert_eq!((result.coverage.looked_at["commits"], result.coverage.looked_at["blobs"]), (5, 4));
    let again = made.scan(json!({"source": "history", "threads": 1})).await.expect("a result");
    assert_eq!(format!("{:?}", result.findings), format!("{:?}", again.findings));
}

#[tokio::test]
async fn what_commits_and_tags_say_is_scanned() {
    let made = Made::new();
    let message = format!("deploy\n\nnow with {}", line("password", CANARY));
    let first = made.say(&message, 0, &[], &[("a.txt", "x\n")]);
    made.commit(1, &[first], &[("a.txt", "y\n")]);
    let tag = gix::objs::Tag {
        target: first,
        target_kind: gix::objs::Kind::Commit,
        name: "v1".into(),
        tagger: None,
        message: line("token_password", OTHER).as_str().into(),
        signature: None,
    };
    let tag = made.repo.write_object(tag).expect("a tag").detach();
    fs::write(made.root().join(".git/refs/tags/v1"), format!("{tag}\n")).expect("written");
    let result = made.scan(json!({"source": "history"})).await.expect("a result");
    let said: Vec<&str> = result.findings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(said.len(), 2, "{said:?}");
    for (name, secret) in
        [(format!("in the entry commit {first}"), CANARY), (format!("in the entry tag {tag}"), OTHER)]
    {
        let found = result.findings.iter().find(|one| one.message.contains(&name)).expect("a finding");
        assert_eq!(found.evidence["commit"], first.to_string());
        assert_eq!(found.evidence["in_head"], false);
        assert_eq!(found.primary().expect("a place").path.as_str(), ".git");
        assert!(!format!("{found:?}").contains(secret));
    }
    assert_eq!(result.coverage.status, CoverageStatus::Complete);
    let files = made.scan(json!({"source": "history", "include": ["*.txt"]})).await.expect("a result");
    assert!(files.findings.is_empty(), "only files are asked for");
}

#[tokio::test]
async fn a_range_and_a_bound_leave_commits_out() {
    let made = Made::new();
    let first = made.commit(0, &[], &[("old.py", &line("password", CANARY))]);
    let stays = ("stays.txt", "not secret\n");
    let first = made.commit(5, &[first], &[("old.py", &line("password", CANARY)), stays]);
    let second = made.commit(10, &[first], &[("new.py", &line("password", OTHER)), stays]);
    made.branch("feature", second);
    let range = json!({"source": "history", "range": format!("{first}..main")});
    let result = made.scan(range).await.expect("a result");
    assert_eq!(result.coverage.looked_at["blobs"], 1, "what was there before is not new");
    for (config, expect) in [
        (json!({"range": format!("{first}..main")}), vec!["new.py"]),
        (json!({"range": "main~1..feature"}), vec!["new.py"]),
        (json!({"range": "main~1"}), vec!["old.py"]),
        (json!({"range": "feature"}), vec!["new.py", "old.py"]),
        (json!({"max_commits": 1}), vec!["new.py"]),
        (json!({"exclude": ["new.py"]}), vec!["old.py"]),
        (json!({"include": ["new*"]}), vec!["new.py"]),
    ] {
        let mut given = config.clone();
        given["source"] = "history".into();
        let result = made.scan(given).await.expect("a result");
        let paths: Vec<_> =
            result.findings.iter().map(|one| one.primary().expect("a place").path.as_str()).collect();
        assert_eq!(paths, expect, "{config}");
    }
    for range in ["nothing..main", "a...b", "main..nowhere"] {
        let error = made.scan(json!({"source": "history", "range": range})).await.expect_err("refused");
        assert!(matches!(error, ModuleError::Config(_)), "{range}: {error}");
    }
}

#[tokio::test]
async fn only_what_is_staged_and_new_is_reported() {
    let made = Made::new();
    let before = line("password", CANARY);
    made.commit(0, &[], &[("a.py", &before), ("same.py", &before)]);
    // Nothing was ever staged: there is no index.
    let result = made.scan(json!({"source": "staged"})).await.expect("a result");
    assert!(result.findings.is_empty());
    let after = format!("{before}{}", line("token_password", OTHER));
    made.stage(&[("a.py", &after), ("same.py", &before), ("b.py", &line("pwd", OTHER))], "index");
    fs::write(made.root().join("unstaged.py"), line("password", "Pf6!quagga&29")).expect("written");
    let result = made.scan(json!({"source": "staged"})).await.expect("a result");
    assert_eq!(
        result.places(),
        ["secret/generic-password a.py:2:19", "secret/generic-password b.py:1:8"],
        "the secret that is committed already is not new"
    );
    assert_eq!(result.coverage.excluded["secrets"], 1);
    assert_eq!(result.coverage.looked_at["files"], 2);

    made.stage(&[("c.py", &line("pwd", OTHER))], "next-index-1.lock");
    let index = json!({"source": "staged", "index_file": ".git/next-index-1.lock"});
    assert_eq!(made.scan(index).await.expect("a result").places(), ["secret/generic-password c.py:1:8"]);
    fs::write(made.root().join("x"), "").expect("written");
    for file in ["x", "/etc/hostname", ".git/none"] {
        made.scan(json!({"source": "staged", "index_file": file})).await.expect_err("not an index of git's");
    }
}

#[tokio::test]
async fn staging_before_the_first_commit_is_scanned() {
    let made = Made::new();
    made.stage(&[("a.py", &line("password", CANARY))], "index");
    let result = made.scan(json!({"source": "staged"})).await.expect("a result");
    assert_eq!(result.places(), ["secret/generic-password a.py:1:13"]);
    let history = made.scan(json!({"source": "history"})).await.expect("a result");
    assert!(history.findings.is_empty());
}

#[tokio::test]
async fn damage_is_named_and_the_rest_is_read() {
    let made = Made::new();
    let lost = line("password", OTHER);
    let first = made.commit(0, &[], &[("lost.py", &lost), ("a.py", &line("password", CANARY))]);
    let second = made.commit(1, &[first], &[("dir/b.py", "b\n")]);
    made.commit(2, &[second], &[("c.py", &line("pwd", CANARY))]);
    let blob = made.repo.write_blob(&lost).expect("a blob").detach();
    let file = made.object(blob);
    fs::remove_file(&file).expect("removed");
    fs::write(&file, b"x\x9c damaged").expect("written");
    let tree = made.tree(&[("b.py", "b\n")]);
    fs::remove_file(made.object(tree)).expect("removed");
    fs::write(made.root().join(".git/refs/heads/broken"), "no id\n").expect("written");
    let result = made.scan(json!({"source": "history"})).await.expect("a result");
    assert_eq!(result.coverage.status, CoverageStatus::Partial);
    let gaps: Vec<&str> = result.coverage.gaps.iter().map(|gap| gap.what.as_str()).collect();
    assert!(gaps.contains(&&*format!("lost.py (blob {blob})")), "{gaps:?}");
    assert!(gaps.contains(&&*format!("tree {tree}")), "{gaps:?}");
    assert_eq!(gaps.len(), 3, "{:?}", result.coverage.gaps);
    let root = made.root().to_str().expect("text");
    assert!(result.coverage.gaps.iter().all(|gap| !gap.detail.contains(root)), "{:?}", result.coverage.gaps);
    assert_eq!(result.places(), ["secret/generic-password a.py:1:13", "secret/generic-password c.py:1:8"]);
}

#[tokio::test]
async fn a_missing_parent_is_a_gap() {
    let made = Made::new();
    let nobody = ObjectId::from_hex(b"0123456789012345678901234567890123456789").expect("an id");
    made.commit(0, &[nobody], &[("a.py", &line("password", CANARY))]);
    let result = made.scan(json!({"source": "history"})).await.expect("a result");
    assert_eq!((result.findings.len(), result.coverage.gaps.len()), (1, 1));
    assert_eq!(result.coverage.gaps[0].what, format!("commit {nobody}"));
    fs::write(made.root().join(".git/shallow"), format!("{}\n", made.repo.head_id().expect("a head")))
        .expect("written");
    let result = made.scan(json!({"source": "history"})).await.expect("a result");
    assert_eq!(result.coverage.gaps[0].reason, GapReason::Vanished);
    assert!(result.coverage.gaps[0].detail.contains("shallow"));
}

#[tokio::test]
async fn nothing_outside_of_the_target_is_opened() {
    let secret = Made::new();
    let id = secret.commit(0, &[], &[("a.py", &line("password", CANARY))]);
    let git = secret.root().join(".git");
    let refused = |root: &Path| {
        let test = ModuleTest::new(SecretScan::new()).config(json!({"source": "history"})).tree(root);
        async move { test.run().await.expect_err("refused").to_string() }
    };
    // No repository.
    let none = tempfile::tempdir().expect("a folder");
    assert!(refused(none.path()).await.contains("no git repository"));
    // A file, then a link, that names another repository.
    fs::write(none.path().join(".git"), format!("gitdir: {}\n", git.display())).expect("written");
    assert!(refused(none.path()).await.contains("outside"));
    fs::remove_file(none.path().join(".git")).expect("removed");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&git, none.path().join(".git")).expect("linked");
        assert!(refused(none.path()).await.contains("outside"));
    }
    // Objects of another repository, by each way that git knows.
    let borrower = Made::new();
    borrower.branch("main", id);
    fs::write(borrower.root().join(".git/HEAD"), "ref: refs/heads/main\n").expect("written");
    let objects = borrower.root().join(".git/objects");
    fs::create_dir_all(objects.join("info")).expect("made");
    fs::write(objects.join("info/alternates"), format!("{}\n", git.join("objects").display()))
        .expect("written");
    assert!(refused(borrower.root()).await.contains("alternates"));
    fs::remove_file(objects.join("info/alternates")).expect("removed");
    fs::write(borrower.root().join(".git/commondir"), format!("{}\n", git.display())).expect("written");
    assert!(refused(borrower.root()).await.contains("outside"));
    // A worktree that the other repository names in turn is its own.
    let linked = git.join("worktrees/w");
    fs::create_dir_all(&linked).expect("made");
    fs::write(none.path().join("x"), "").expect("written");
    let worktree = tempfile::tempdir().expect("a folder");
    fs::write(worktree.path().join(".git"), format!("gitdir: {}\n", linked.display())).expect("written");
    assert!(refused(worktree.path()).await.contains("outside"));
    let back = worktree.path().join(".git");
    fs::write(linked.join("gitdir"), format!("{}\n", back.display())).expect("written");
    fs::write(linked.join("commondir"), "../..\n").expect("written");
    fs::write(linked.join("HEAD"), "ref: refs/heads/main\n").expect("written");
    let test = ModuleTest::new(SecretScan::new()).config(json!({"source": "history"})).tree(worktree.path());
    assert_eq!(test.run().await.expect("a result").findings.len(), 1);
}

/// Opening a pipe waits for somebody who writes, which nobody ever does.
#[cfg(unix)]
#[tokio::test]
async fn a_pipe_in_the_repository_is_not_opened() {
    let names = [
        "HEAD",
        "config",
        "index",
        "packed-refs",
        "shallow",
        "refs/heads/x",
        "objects/aa/1",
        "objects/pack/a.idx",
    ];
    for name in names {
        for source in ["history", "staged"] {
            let made = Made::new();
            made.commit(0, &[], &[("a.py", "x\n")]);
            let pipe = made.root().join(".git").join(name);
            fs::create_dir_all(pipe.parent().expect("a folder")).expect("made");
            let _ = fs::remove_file(&pipe);
            rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
            let refused = made.scan(json!({"source": source})).await.expect_err("refused").to_string();
            assert!(refused.contains("is no file of its own"), "{name}: {refused}");
        }
    }
    // A link does not hide it, and what git does not read may be anything.
    let made = Made::new();
    made.commit(0, &[], &[("a.py", &line("password", CANARY))]);
    let git = made.root().join(".git");
    rustix::fs::mkfifoat(rustix::fs::CWD, git.join("fsmonitor--daemon.ipc"), rustix::fs::Mode::RWXU)
        .expect("a pipe");
    assert_eq!(made.scan(json!({"source": "history"})).await.expect("a result").findings.len(), 1);
    std::os::unix::fs::symlink(git.join("fsmonitor--daemon.ipc"), git.join("objects/pack/a.idx"))
        .expect("linked");
    let refused = made.scan(json!({"source": "history"})).await.expect_err("refused").to_string();
    assert!(refused.contains("a.idx in the repository is no file"), "{refused}");
}
