//! Where an engine listens.

use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::process::ProcessError;

/// The socket that `DOCKER_HOST` names, else the first that there is of the usual ones.
pub(super) fn find(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, ProcessError> {
    if let Some(host) = variable("DOCKER_HOST").filter(|host| !host.is_empty()) {
        return named(&host.to_string_lossy());
    }
    let usual = usual(variable("XDG_RUNTIME_DIR").map(PathBuf::from));
    if let Some(found) = usual.iter().find(|path| is_socket(path)) {
        return Ok(found.clone());
    }
    let looked: Vec<String> = usual.iter().map(|path| path.display().to_string()).collect();
    Err(ProcessError::NoContainers {
        reason: format!(
            "no engine listens at {}; start Docker, or Podman by `systemctl --user start podman.socket`, or set \
             DOCKER_HOST to unix:// and the path of its socket",
            looked.join(" or ")
        ),
    })
}

fn named(host: &str) -> Result<PathBuf, ProcessError> {
    let refused =
        |why: &str| Err(ProcessError::NoContainers { reason: format!("DOCKER_HOST is {host:?}: {why}") });
    match host.split_once("://") {
        Some(("unix", path)) if path.starts_with('/') => {
            let path = PathBuf::from(path);
            if is_socket(&path) { Ok(path) } else { refused("there is no socket") }
        }
        Some(("unix", _)) => refused("the path has to be absolute"),
        Some(_) => refused(
            "only unix:// and a path will do, for the engine has to see the files of this machine, which it mounts",
        ),
        None => refused("it has to be unix:// and the path of the engine's socket"),
    }
}

/// Rootful engines first, for those enforce all limits.
fn usual(runtime: Option<PathBuf>) -> Vec<PathBuf> {
    let runtime = runtime.filter(|path| path.is_absolute());
    let own = |name: &str| runtime.as_ref().map(|folder| folder.join(name));
    [
        Some(PathBuf::from("/var/run/docker.sock")),
        own("podman/podman.sock"),
        Some(PathBuf::from("/run/podman/podman.sock")),
        own("docker.sock"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn is_socket(path: &Path) -> bool {
    path.metadata().is_ok_and(|data| data.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::find;

    fn check(variables: &[(&str, &str)], expect: Result<&str, &str>) {
        let found =
            find(|name| variables.iter().find(|(one, _)| *one == name).map(|(_, value)| (*value).into()));
        match (found, expect) {
            (Ok(path), Ok(expect)) => assert_eq!(path.to_str(), Some(expect), "{variables:?}"),
            (Err(error), Err(expect)) => {
                assert!(error.to_string().contains(expect), "{variables:?}: {error}");
            }
            (found, _) => panic!("{variables:?}: {found:?}"),
        }
    }

    #[test]
    fn the_socket_is_the_named_one_or_a_usual_one() {
        let folder = tempfile::tempdir().expect("directory");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::create_dir(folder.path().join("podman")).expect("directory");
        let _listeners =
            ["one.sock", "podman/podman.sock"].map(|name| UnixListener::bind(path(name)).expect("bind"));
        std::fs::write(path("file"), "").expect("write");
        let unix = |name: &str| format!("unix://{}", path(name));

        check(&[("DOCKER_HOST", &unix("one.sock"))], Ok(&path("one.sock")));
        check(&[("DOCKER_HOST", &unix("gone"))], Err("there is no socket"));
        check(&[("DOCKER_HOST", &unix("file"))], Err("there is no socket"));
        check(&[("DOCKER_HOST", "unix://one.sock")], Err("has to be absolute"));
        check(&[("DOCKER_HOST", "tcp://10.0.0.1:2375")], Err("only unix://"));
        check(&[("DOCKER_HOST", "ssh://me@there")], Err("only unix://"));
        check(&[("DOCKER_HOST", "/run/one.sock")], Err("has to be unix://"));
        // An unset one does not fall back to the usual ones, nor does a named one that is not there.
        check(&[("DOCKER_HOST", "tcp://x"), ("XDG_RUNTIME_DIR", &path(""))], Err("only unix://"));
    }

    #[test]
    fn usual_places_are_tried_in_a_fixed_order() {
        let usual = super::usual(Some("/run/user/7".into()));
        assert_eq!(
            usual.iter().map(|path| path.to_str().unwrap_or_default()).collect::<Vec<_>>(),
            [
                "/var/run/docker.sock",
                "/run/user/7/podman/podman.sock",
                "/run/podman/podman.sock",
                "/run/user/7/docker.sock"
            ]
        );
        assert_eq!(super::usual(Some("relative".into())).len(), 2);
    }
}
