//! What is asked of an engine: Docker, or Podman by the same interface.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;

use super::owner::Owner;
use super::wire::{Body, Wire, WireError};
use crate::process::ProcessError;

/// The image without files in which programs of the host run, imported where it is not there.
pub(super) const EMPTY_IMAGE: &str = "localhost/crashwise-empty:latest";
/// The label of a container that says whose it is.
pub(super) const OWNER: &str = "crashwise.owner";
/// How long one request may take. Making a container copies its image with some storage drivers.
const PATIENCE: Duration = Duration::from_mins(1);
/// Two blocks of zeros: a tar archive of nothing.
const EMPTY_TAR: usize = 1024;

/// An engine that answered.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) wire: Wire,
    pub(super) facts: Facts,
}

/// What an engine says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is one of the engine's answers")]
pub(super) struct Facts {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) rootless: bool,
    pub(super) memory: bool,
    pub(super) swap: bool,
    pub(super) processes: bool,
    pub(super) cores: bool,
    pub(super) seccomp: bool,
    pub(super) selinux: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: String,
    #[serde(default)]
    components: Option<Vec<Component>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
#[allow(clippy::struct_excessive_bools, reason = "they are the engine's")]
struct Info {
    #[serde(rename = "OSType", default)]
    os: String,
    #[serde(default)]
    memory_limit: bool,
    #[serde(default)]
    swap_limit: bool,
    #[serde(default)]
    pids_limit: bool,
    #[serde(default)]
    cpu_cfs_quota: bool,
    #[serde(default)]
    security_options: Option<Vec<String>>,
}

impl Facts {
    fn new(version: Version, info: &Info) -> Self {
        let podman = version.components.iter().flatten().any(|part| part.name.contains("Podman"));
        let named = |name: &str| {
            let mut options = info.security_options.iter().flatten();
            options.any(|option| option.split(',').any(|part| part == format!("name={name}") || part == name))
        };
        Self {
            name: if podman { "Podman" } else { "Docker" }.to_owned(),
            version: version.version,
            rootless: named("rootless"),
            memory: info.memory_limit,
            swap: info.swap_limit,
            processes: info.pids_limit,
            cores: info.cpu_cfs_quota,
            // Docker lists it with the profile `unconfined` where an administrator took it away.
            seccomp: named("seccomp") && !named("profile=unconfined"),
            selinux: named("selinux"),
        }
    }
}

/// How a container stands.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    /// What Docker says "exited" to, Podman says "stopped" to.
    #[serde(default)]
    pub(super) status: String,
    pub(super) running: bool,
    #[serde(default)]
    pub(super) paused: bool,
    #[serde(rename = "OOMKilled", default)]
    pub(super) out_of_memory: bool,
    #[serde(default)]
    pub(super) pid: i32,
    pub(super) exit_code: i32,
}

impl State {
    /// Whether it ran and is over. One that is being stopped or removed has no exit code yet, and says 0.
    pub(super) fn is_over(&self) -> bool {
        !self.running && !self.paused && matches!(self.status.as_str(), "" | "exited" | "stopped" | "dead")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    state: State,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

impl Engine {
    /// The engine behind `socket`, asked who it is the first time, when containers of owners that are gone are removed too.
    pub(super) async fn at(socket: &Path) -> Result<Arc<Self>, ProcessError> {
        static LAST: Mutex<Option<Arc<Engine>>> = Mutex::new(None);
        let known = LAST.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(engine) = known.filter(|engine| engine.wire.socket == socket) {
            return Ok(engine);
        }
        let engine = Arc::new(Self::connect(Wire::new(socket, PATIENCE)).await?);
        engine.sweep().await;
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&engine));
        Ok(engine)
    }

    /// The same without what is remembered.
    pub(super) async fn connect(wire: Wire) -> Result<Self, ProcessError> {
        let asked = async {
            let version: Version = wire.get("/version").await?;
            let info: Info = wire.get("/info").await?;
            Ok((version, info))
        };
        let (version, info) = asked.await.map_err(|error: WireError| {
            let socket = wire.socket.display();
            let denied = matches!(&error, WireError::Lost(source) if source.kind() == io::ErrorKind::PermissionDenied);
            if denied {
                let reason = format!("this user may not use the engine's socket {socket}; join its group, or use a rootless engine");
                return ProcessError::NoContainers { reason };
            }
            failed(&wire, "asking the engine what it is", error)
        })?;
        if !info.os.is_empty() && info.os != "linux" {
            let reason = format!("the engine's containers are of {}, not of Linux", info.os);
            return Err(ProcessError::NoContainers { reason });
        }
        Ok(Self { facts: Facts::new(version, &info), wire })
    }

    /// Makes a container; what the engine warns of.
    pub(super) async fn create(
        &self,
        name: &str,
        image: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<String>, ProcessError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            #[serde(default)]
            warnings: Option<Vec<String>>,
        }
        let path = format!("/containers/create?name={name}");
        let attempt = || self.wire.post(&path, Body::Json(body.to_vec()));
        let mut answer = attempt().await;
        if image.is_none() && answer.as_ref().is_err_and(|error| error.status() == Some(404)) {
            self.import().await?;
            answer = attempt().await;
        }
        let answer = answer.map_err(|error| match (image, error.status()) {
            (Some(image), Some(404)) => {
                let tool = self.facts.name.to_lowercase();
                ProcessError::ImageMissing {
                    image: image.to_owned(),
                    command: format!("{tool} pull {image}"),
                }
            }
            _ => self.not_started("making the container", error),
        })?;
        let created: Created = serde_json::from_slice(&answer).map_err(|error| {
            failed(&self.wire, "making the container", WireError::Garbage(error.to_string()))
        })?;
        Ok(created.warnings.unwrap_or_default())
    }

    async fn import(&self) -> Result<(), ProcessError> {
        let doing = "importing the empty image";
        let (repository, tag) = EMPTY_IMAGE.rsplit_once(':').unwrap_or((EMPTY_IMAGE, "latest"));
        let path = format!(
            "/images/create?fromSrc=-&repo={repository}&tag={tag}&changes=LABEL%20crashwise.empty%3Dtrue"
        );
        let answer = self.wire.post(&path, Body::Tar(vec![0; EMPTY_TAR])).await;
        let answer = answer.map_err(|error| failed(&self.wire, doing, error))?;
        // One object of JSON after the other; a failure is one of them, under the status of a success.
        for said in serde_json::Deserializer::from_slice(&answer).into_iter::<Value>() {
            let said =
                said.map_err(|error| failed(&self.wire, doing, WireError::Garbage(error.to_string())))?;
            if let Some(error) = said.get("error").and_then(Value::as_str) {
                let refused = WireError::Refused { status: 200, message: error.to_owned() };
                return Err(failed(&self.wire, doing, refused));
            }
        }
        Ok(())
    }

    /// Its input and output, from before its start.
    pub(super) async fn attach(&self, name: &str, input: bool) -> Result<TokioIo<Upgraded>, ProcessError> {
        let stdin = u8::from(input);
        let path = format!("/containers/{name}/attach?stream=1&stdin={stdin}&stdout=1&stderr=1");
        self.wire.upgrade(&path).await.map_err(|error| self.not_started("attaching to the container", error))
    }

    pub(super) async fn start(&self, name: &str) -> Result<(), ProcessError> {
        let started = self.wire.post(&format!("/containers/{name}/start"), Body::Empty).await;
        started.map(drop).map_err(|error| self.not_started("starting the container", error))
    }

    /// Podman looks for its init program when it makes a container, or when it is attached to, Docker when it starts it.
    fn not_started(&self, doing: &'static str, error: WireError) -> ProcessError {
        if let WireError::Refused { message, .. } = &error
            && ["docker-init", "catatonit", "init binary", "tini"].iter().any(|name| message.contains(name))
        {
            let mut reason = "the engine has no init program, which passes signals on; install ".to_owned();
            let _ = write!(
                reason,
                "`{}`: {message}",
                if self.facts.name == "Podman" { "catatonit" } else { "tini" }
            );
            return ProcessError::NoContainers { reason };
        }
        failed(&self.wire, doing, error)
    }

    /// Its id and how it stands.
    pub(super) async fn inspect(&self, name: &str) -> Result<(String, State), WireError> {
        let inspected: Inspected = self.wire.get(&format!("/containers/{name}/json")).await?;
        Ok((inspected.id, inspected.state))
    }

    pub(super) async fn kill(&self, name: &str, signal: &str) -> Result<(), WireError> {
        self.wire.post(&format!("/containers/{name}/kill?signal={signal}"), Body::Empty).await.map(drop)
    }

    /// Removes containers whose owners are gone without having removed them. What cannot be removed now, the next start tries
    /// again.
    pub(super) async fn sweep(&self) {
        // {"label":["crashwise.owner"]}
        let path = format!("/containers/json?all=true&filters=%7B%22label%22%3A%5B%22{OWNER}%22%5D%7D");
        let listed: Vec<Listed> = self.wire.get(&path).await.unwrap_or_default();
        for one in listed {
            let owner =
                one.labels.as_ref().and_then(|labels| labels.get(OWNER)).and_then(|text| Owner::read(text));
            if owner.is_some_and(|owner| owner.is_gone(one.state == "running")) {
                let _ = self.wire.delete(&format!("/containers/{}?force=true&v=true", one.id)).await;
            }
        }
    }
}

pub(super) fn failed(wire: &Wire, doing: &'static str, error: WireError) -> ProcessError {
    ProcessError::Engine { socket: wire.socket.clone(), doing, source: error.into() }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::{Facts, State};

    fn check(version: serde_json::Value, info: serde_json::Value, expect: &Facts) {
        let version = from_value(version).expect("version");
        assert_eq!(Facts::new(version, &from_value(info).expect("info")), *expect);
    }

    #[test]
    fn engines_say_what_they_enforce() {
        let all = Facts {
            name: "Podman".into(),
            version: "4.3.1".into(),
            rootless: false,
            memory: true,
            swap: true,
            processes: true,
            cores: true,
            seccomp: true,
            selinux: false,
        };
        let podman = json!({"Version": "4.3.1", "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}, {"Name": "Conmon"}]});
        let info = json!({
            "OSType": "linux", "MemoryLimit": true, "SwapLimit": true, "PidsLimit": true, "CpuCfsQuota": true,
            "SecurityOptions": ["name=seccomp,profile=default"],
        });
        check(podman.clone(), info, &all);
        let rootless =
            json!({"SecurityOptions": ["name=seccomp,profile=default", "name=rootless", "name=selinux"]});
        let nothing = Facts { memory: false, swap: false, processes: false, cores: false, ..all.clone() };
        check(podman, rootless, &Facts { rootless: true, selinux: true, ..nothing.clone() });
        let docker = json!({"Version": "20.10.24", "Components": null});
        let bare = json!({"SecurityOptions": ["name=seccomp,profile=unconfined"]});
        let expect = Facts { name: "Docker".into(), version: "20.10.24".into(), seccomp: false, ..nothing };
        check(docker.clone(), bare, &expect);
        check(docker, json!({"SecurityOptions": null}), &expect);
    }

    #[test]
    fn a_container_is_over_once_it_ran_and_runs_no_more() {
        for (status, running, over) in [
            ("created", false, false),
            ("initialized", false, false),
            ("running", true, false),
            ("paused", true, false),
            ("stopping", false, false),
            ("removing", false, false),
            ("exited", false, true),
            ("stopped", false, true),
            ("dead", false, true),
            ("", false, true),
        ] {
            let state: State =
                from_value(json!({"Status": status, "Running": running, "ExitCode": 0})).expect("state");
            assert_eq!(state.is_over(), over, "{status}");
        }
    }
}
