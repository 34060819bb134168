//! Runs on a Temporal cluster, from the command line.

use super::catalogue::Catalogue;
use super::doctor;
use super::exit::{Exit, Failure};
use super::progress::Progress;
use super::run::runtime;
use super::terminal::Terminal;
use super::{interrupt, workspaces};
use crate::temporal::{Cluster, ClusterError, ClusterOptions, ClusterRun, Submission};
use crate::{RunReport, RunRequest};
use clap::{Args, ValueEnum};
use crashwise_core::store::Store;
use crashwise_core::workflow::AnyWorkflow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Who carries out a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Engine {
    /// This machine
    Local,
    /// The workers of a Temporal cluster
    Temporal,
}

/// Where runs are carried out.
#[derive(Debug, Args)]
pub(super) struct EngineArgs {
    /// Who carries out the run
    #[arg(long, global = true, value_enum, env = "CRASHWISE_ENGINE", default_value_t = Engine::Local, hide_env_values = true)]
    engine: Engine,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl EngineArgs {
    /// The cluster, if runs are carried out there.
    pub(super) fn cluster(&self) -> Result<Option<Reach>, Failure> {
        match self.engine {
            Engine::Local => Ok(None),
            Engine::Temporal => self.cluster.reach().map(Some),
        }
    }
}

/// How a cluster and its store are reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "Temporal cluster")]
pub(super) struct ClusterArgs {
    /// The Temporal server: HOST:PORT, http:// or https://
    #[arg(
        long = "temporal",
        global = true,
        env = "TEMPORAL_ADDRESS",
        value_name = "URL",
        hide_env_values = true
    )]
    address: Option<String>,
    /// Its namespace [default: default]
    #[arg(long, global = true, env = "TEMPORAL_NAMESPACE", value_name = "NAME", hide_env_values = true)]
    namespace: Option<String>,
    #[arg(
        help = "Where targets and findings are kept: s3://BUCKET[/PREFIX], or a folder that all workers see"
    )]
    #[arg(long, global = true, env = "CRASHWISE_STORE", value_name = "URL", hide_env_values = true)]
    store: Option<String>,
    /// Take address, namespace, key and certificates from this profile of the Temporal command line
    #[arg(long, global = true, env = "TEMPORAL_PROFILE", value_name = "NAME", hide_env_values = true)]
    temporal_profile: Option<String>,
    /// Key that is sent to the server
    #[arg(long, global = true, env = "TEMPORAL_API_KEY", value_name = "KEY", hide_env_values = true)]
    temporal_api_key: Option<String>,
    /// Certificate of the authority that signed the server's, in PEM
    #[arg(
        long,
        global = true,
        env = "TEMPORAL_TLS_SERVER_CA_CERT_PATH",
        value_name = "FILE",
        hide_env_values = true
    )]
    temporal_ca: Option<PathBuf>,
    /// Name in the server's certificate, where it is another than that of the address
    #[arg(
        long,
        global = true,
        env = "TEMPORAL_TLS_SERVER_NAME",
        value_name = "NAME",
        hide_env_values = true
    )]
    temporal_server_name: Option<String>,
    /// Own certificate, in PEM
    #[arg(
        long,
        global = true,
        env = "TEMPORAL_TLS_CLIENT_CERT_PATH",
        value_name = "FILE",
        requires = "temporal_key",
        hide_env_values = true
    )]
    temporal_cert: Option<PathBuf>,
    /// Its key, in PEM
    #[arg(
        long,
        global = true,
        env = "TEMPORAL_TLS_CLIENT_KEY_PATH",
        value_name = "FILE",
        requires = "temporal_cert",
        hide_env_values = true
    )]
    temporal_key: Option<PathBuf>,
    /// File with a key of 32 bytes, as 64 hexadecimal digits: payloads are encrypted with it
    #[arg(
        long,
        global = true,
        env = "CRASHWISE_PAYLOAD_KEY_FILE",
        value_name = "FILE",
        hide_env_values = true
    )]
    payload_key: Option<PathBuf>,
}

/// How a cluster and its store are reached, checked as far as that goes without asking them.
pub(super) struct Reach {
    pub(super) options: ClusterOptions,
    pub(super) store: Store,
}

impl ClusterArgs {
    pub(super) fn reach(&self) -> Result<Reach, Failure> {
        let Some(store) = &self.store else {
            return Err(Failure::usage(
                "where are targets and findings kept? give --store s3://BUCKET, a folder, or CRASHWISE_STORE",
            ));
        };
        let secure =
            self.temporal_api_key.is_some() || self.temporal_ca.is_some() || self.temporal_cert.is_some();
        let mut options = match (&self.address, &self.temporal_profile) {
            (Some(address), _) if address.contains("://") => ClusterOptions::new(address),
            (Some(address), _) if secure => ClusterOptions::new(format!("https://{address}")),
            (Some(address), _) => ClusterOptions::new(format!("http://{address}")),
            (None, Some(name)) => {
                let file = std::env::var_os("TEMPORAL_CONFIG_FILE").map(PathBuf::from);
                ClusterOptions::from_profile(name, file.as_deref())?
            }
            (None, None) => {
                return Err(Failure::usage(
                    "which Temporal server? give --temporal URL, --temporal-profile NAME or TEMPORAL_ADDRESS",
                ));
            }
        };
        if let Some(namespace) = &self.namespace {
            options = options.with_namespace(namespace);
        }
        if let Some(key) = &self.temporal_api_key {
            options = options.with_api_key(key);
        }
        if let Some(path) = &self.temporal_ca {
            options = options.with_authority(read(path)?);
        }
        if let Some(name) = &self.temporal_server_name {
            options = options.with_tls_domain(name);
        }
        if let (Some(certificate), Some(key)) = (&self.temporal_cert, &self.temporal_key) {
            options = options.with_identity(read(certificate)?, read(key)?);
        }
        if let Some(path) = &self.payload_key {
            options = options.with_payload_key(payload_key(path)?);
        }
        Ok(Reach { options, store: workspaces::store(store)? })
    }
}

impl Reach {
    pub(super) async fn connect(&self) -> Result<Cluster, ClusterError> {
        Cluster::connect(&self.options, self.store.clone()).await
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path)
        .map_err(|error| Failure::usage(format!("{} could not be read: {error}", path.display())))
}

fn payload_key(path: &Path) -> Result<[u8; 32], Failure> {
    let text = String::from_utf8(read(path)?).unwrap_or_default();
    let digits = text.trim().as_bytes();
    let digit = |at: usize| digits.get(at).and_then(|digit| char::from(*digit).to_digit(16));
    let mut key = [0; 32];
    for (at, byte) in key.iter_mut().enumerate() {
        let value = digit(2 * at).zip(digit(2 * at + 1)).map(|(high, low)| high * 16 + low);
        let value = value.filter(|_| digits.len() == 64).and_then(|value| u8::try_from(value).ok());
        *byte = value.ok_or_else(|| {
            Failure::usage(format!("{} holds no key: expected 64 hexadecimal digits", path.display()))
        })?;
    }
    Ok(key)
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Run(error) => error.into(),
            ClusterError::Address { .. }
            | ClusterError::Profile { .. }
            | ClusterError::Unsupported { .. } => Self::usage(error.chain()),
            _ => Self::failed(error.chain()),
        }
    }
}

/// Follows a run that was begun, or leaves it to itself.
pub(super) async fn begun(
    run: &ClusterRun,
    detach: bool,
    progress: &Progress,
    terminal: &Terminal,
) -> Result<Option<RunReport>, Failure> {
    if detach {
        terminal.print(|out| writeln!(out, "{}", run.id()))?;
        terminal.note(&format!("`crashwise runs watch {} --engine temporal` follows it", run.id()));
        return Ok(None);
    }
    terminal.note(&format!("run {}", run.id()));
    let cancel = async || {
        // A run that is over already needs no stop.
        let _ = run.cancel().await;
    };
    let following = run.follow(|seen| progress.seen(&seen));
    let ended = Box::pin(interrupt::until_done(cancel, terminal, following)).await;
    let ended = ended.map_err(|error| Failure::failed(format!("signals could not be received: {error}")))?;
    match ended {
        Err(error @ ClusterError::Unreachable { .. }) => Err(Failure::failed(format!(
            "{}; the run goes on when the server does: `crashwise runs watch {} --engine temporal`",
            error.chain(),
            run.id()
        ))),
        other => Ok(Some(other?)),
    }
}

/// Runs a workflow on a cluster, shows its progress and reports what it did.
pub(super) fn execute(
    reach: &Reach,
    request: RunRequest,
    code: &Arc<dyn AnyWorkflow>,
    catalogue: &Catalogue,
    detach: bool,
    terminal: &Terminal,
    report: impl FnOnce(&RunReport) -> Result<Exit, Failure>,
) -> Result<Exit, Failure> {
    let runtime = runtime()?;
    let known = catalogue.workflow(&request.workflow)?;
    let mut submission =
        Submission::new(request, Arc::clone(code)).with_tools(doctor::programs(known, catalogue));
    if let Some(definition) = &known.definition {
        submission = submission.with_definition(definition.clone());
        for source in catalogue.workflows().filter_map(|known| known.source.as_ref()) {
            submission = submission.with_source(source);
        }
    }
    let progress = Progress::new(terminal, true);
    let ended = runtime.block_on(async {
        let cluster = reach.connect().await?;
        let run = cluster.submit(submission).await?;
        begun(&run, detach, &progress, terminal).await
    });
    progress.finish();
    match ended? {
        None => Ok(Exit::Clean),
        Some(run) => report(&run),
    }
}
