//! The way to a Temporal server and a store.

use super::error::ClusterError;
use super::messages::RELEASE;
use super::queue_of;
use crashwise_core::store::Store;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};
use temporalio_client::errors::ClientConnectError;
use temporalio_client::tonic::{Code, IntoRequest};
use temporalio_client::{
    Client, ClientOptions, ClientTlsOptions, Connection, ConnectionOptions, NamespacedClient as _,
    RetryOptions, TlsOptions, Url,
};
use temporalio_common::data_converters::DataConverter;
use temporalio_common::envconfig::{DataSource, LoadClientConfigProfileOptions, load_client_config_profile};
use temporalio_common::protos::temporal::api::enums::v1::TaskQueueType;
use temporalio_common::protos::temporal::api::taskqueue::v1::{PollerInfo, TaskQueue};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeNamespaceRequest, DescribeTaskQueueRequest,
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// For how long a request is tried again.
const PATIENCE: Duration = Duration::from_secs(8);

/// A worker that has not asked for work for longer is gone: it asks at least once a minute.
const POLLS: Duration = Duration::from_secs(75);

/// How to reach a Temporal server.
///
/// ```
/// use crashwise_runner::temporal::ClusterOptions;
///
/// let options = ClusterOptions::new("https://temporal.example:7233").with_namespace("security");
/// assert_eq!(options.namespace, "security");
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Its address, `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// The namespace; `default` unless set.
    pub namespace: String,
    /// A key that is sent with every request. Needs `https`.
    pub api_key: Option<String>,
    /// Certificates for `https`, each in PEM.
    pub tls: Tls,
    /// A key of 32 bytes with which payloads are encrypted; workers and clients need the same.
    pub payload_key: Option<[u8; 32]>,
}

/// Certificates for TLS, in PEM. Without any, the authorities of the operating system are trusted.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Tls {
    /// The authority that signed the server's certificate.
    pub authority: Option<Vec<u8>>,
    /// The name in the server's certificate, where it is not that of the address.
    pub domain: Option<String>,
    /// The own certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl ClusterOptions {
    /// A server without TLS or key, with the namespace `default`.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            namespace: "default".to_owned(),
            api_key: None,
            tls: Tls::default(),
            payload_key: None,
        }
    }

    /// What a profile of the Temporal command line says: address, namespace, key and certificates of `temporal.toml`, from
    /// a file, or where `TEMPORAL_CONFIG_FILE` or that program's own rules place it.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Profile`] when it cannot be read, or names no address.
    pub fn from_profile(name: &str, file: Option<&Path>) -> Result<Self, ClusterError> {
        let failed = |cause: Box<dyn std::error::Error + Send + Sync>| ClusterError::Profile {
            name: name.to_owned(),
            source: cause,
        };
        let source = file.map(|path| DataSource::Path(path.display().to_string()));
        let options = LoadClientConfigProfileOptions::builder()
            .maybe_config_source(source)
            .config_file_profile(name.to_owned())
            .disable_env(true)
            .build();
        let profile = load_client_config_profile(options, None)
            .map_err(|error| failed(crashwise_core::error_chain(&error).into()))?;
        let address = profile.address.ok_or_else(|| failed("it names no address".into()))?;
        let tls = profile.tls.unwrap_or_default();
        let secure = tls.disabled.map_or(
            profile.api_key.is_some() || tls.server_ca_cert.is_some() || tls.client_cert.is_some(),
            |off| !off,
        );
        let address = match address.split_once("://") {
            Some(_) => address,
            None if secure => format!("https://{address}"),
            None => format!("http://{address}"),
        };
        let read = |source: Option<DataSource>| match source {
            Some(DataSource::Data(bytes)) => Ok(Some(bytes)),
            Some(DataSource::Path(path)) => {
                std::fs::read(&path).map(Some).map_err(|error| failed(format!("{path}: {error}").into()))
            }
            _ => Ok(None),
        };
        let mut options = Self::new(address);
        options.namespace = profile.namespace.unwrap_or(options.namespace);
        options.api_key = profile.api_key;
        options.tls.authority = read(tls.server_ca_cert)?;
        options.tls.domain = tls.server_name;
        options.tls.identity = read(tls.client_cert)?.zip(read(tls.client_key)?);
        Ok(options)
    }

    /// Sets the namespace.
    #[must_use]
    pub fn with_namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Sets the key that is sent with every request.
    #[must_use]
    pub fn with_api_key(mut self, key: impl Into<String>) -> Self {
        self.api_key = Some(key.into());
        self
    }

    /// Sets the authority that signed the server's certificate.
    #[must_use]
    pub fn with_authority(mut self, pem: Vec<u8>) -> Self {
        self.tls.authority = Some(pem);
        self
    }

    /// Sets the name in the server's certificate.
    #[must_use]
    pub fn with_tls_domain(mut self, name: impl Into<String>) -> Self {
        self.tls.domain = Some(name.into());
        self
    }

    /// Sets the own certificate and its key.
    #[must_use]
    pub fn with_identity(mut self, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        self.tls.identity = Some((certificate, key));
        self
    }

    /// Sets the key with which payloads are encrypted.
    #[must_use]
    pub fn with_payload_key(mut self, key: [u8; 32]) -> Self {
        self.payload_key = Some(key);
        self
    }

    fn connection(&self, identity: String) -> Result<ConnectionOptions, ClusterError> {
        let wrong = || ClusterError::Address { address: self.address.clone() };
        let url: Url = self.address.parse().map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        let tls = (url.scheme() == "https").then(|| {
            let identity = self.tls.identity.clone().map(|(certificate, key)| {
                ClientTlsOptions::builder().client_cert(certificate).client_private_key(key).build()
            });
            TlsOptions::builder()
                .maybe_server_root_ca_cert(self.tls.authority.clone())
                .maybe_domain(self.tls.domain.clone())
                .maybe_client_tls_options(identity)
                .build()
        });
        if tls.is_none() && (self.api_key.is_some() || self.tls.identity.is_some()) {
            let what = "a key or certificate is not sent over http: give an https address".to_owned();
            return Err(ClusterError::Unsupported { what });
        }
        let retry = RetryOptions::builder()
            .max_interval(Duration::from_secs(1))
            .max_elapsed_time(Some(PATIENCE))
            .max_retries(20)
            .build();
        Ok(ConnectionOptions::new(url)
            .identity(identity)
            .connect_timeout(CONNECT)
            .maybe_api_key(self.api_key.clone())
            .maybe_tls_options(tls)
            .retry_options(retry)
            .build())
    }
}

impl fmt::Debug for ClusterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are secrets.
        f.debug_struct("ClusterOptions")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// A Temporal server and a store. Clones share the connection.
#[derive(Clone)]
pub struct Cluster {
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) address: String,
    pub(super) namespace: String,
}

impl Cluster {
    /// Connects, and looks whether the namespace is there.
    ///
    /// # Errors
    ///
    /// Within seconds: [`ClusterError::Address`], [`ClusterError::Unreachable`], [`ClusterError::Denied`] and
    /// [`ClusterError::Namespace`].
    pub async fn connect(options: &ClusterOptions, store: Store) -> Result<Self, ClusterError> {
        Self::connect_as(options, store, format!("crashwise/{RELEASE} client {}", std::process::id())).await
    }

    pub(super) async fn connect_as(
        options: &ClusterOptions,
        store: Store,
        identity: String,
    ) -> Result<Self, ClusterError> {
        let address = options.address.clone();
        let connecting = Connection::connect(options.connection(identity)?);
        let connection = match tokio::time::timeout(CONNECT + PATIENCE, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(ClientConnectError::SystemInfoCallError(status))) => {
                return Err(ClusterError::status(&address, "asking the Temporal server failed", status));
            }
            Ok(Err(error)) => {
                let cause = super::backend::root_cause(&error);
                return Err(ClusterError::Unreachable { address, source: cause.into() });
            }
            Err(late) => return Err(ClusterError::Unreachable { address, source: late.into() }),
        };
        let data_converter = super::codec::converter(options.payload_key);
        let client_options =
            ClientOptions::new(options.namespace.clone()).data_converter(data_converter).build();
        let client = Client::new(connection, client_options)
            .map_err(|error| ClusterError::server("using the connection failed", error))?;
        let namespace = options.namespace.clone();
        let cluster = Self { client, store, address, namespace };
        cluster.check_namespace().await?;
        Ok(cluster)
    }

    async fn check_namespace(&self) -> Result<(), ClusterError> {
        let request = DescribeNamespaceRequest { namespace: self.namespace.clone(), ..Default::default() };
        match self.client.connection().workflow_service().describe_namespace(request.into_request()).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => {
                let (address, namespace) = (self.address.clone(), self.namespace.clone());
                Err(ClusterError::Namespace { address, namespace })
            }
            // A key that may start runs need not be one that may look at namespaces.
            Err(status) if status.code() == Code::PermissionDenied => Ok(()),
            Err(status) => Err(self.status("looking up the namespace failed", status)),
        }
    }

    pub(super) fn data_converter(&self) -> &DataConverter {
        self.client.data_converter()
    }

    pub(super) fn status(&self, context: &str, status: temporalio_client::tonic::Status) -> ClusterError {
        ClusterError::status(&self.address, context, status)
    }

    /// Looks whether workers of a vertical ask for work that are fit for a run of this release and for these programs.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NoWorker`], [`ClusterError::OldWorkers`] and [`ClusterError::NoTool`].
    pub async fn check_workers(&self, vertical: &str, tools: &[String]) -> Result<(), ClusterError> {
        let workers = self.workers(vertical).await?;
        if workers.is_empty() {
            return Err(ClusterError::NoWorker { vertical: vertical.to_owned(), queue: queue_of(vertical) });
        }
        let fit: Vec<&Announced> = workers.iter().filter(|worker| worker.is_of(RELEASE)).collect();
        if fit.is_empty() {
            let found: BTreeSet<&str> = workers.iter().map(|worker| worker.release.as_str()).collect();
            let found = found.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ClusterError::OldWorkers { vertical: vertical.to_owned(), found, own: RELEASE });
        }
        for tool in tools {
            if fit.iter().all(|worker| worker.lacks.contains(tool)) {
                return Err(ClusterError::NoTool { vertical: vertical.to_owned(), tool: tool.clone() });
            }
        }
        Ok(())
    }

    /// The workers that have asked for work of a vertical lately.
    async fn workers(&self, vertical: &str) -> Result<Vec<Announced>, ClusterError> {
        let request = DescribeTaskQueueRequest {
            namespace: self.namespace.clone(),
            task_queue: Some(TaskQueue { name: queue_of(vertical), ..Default::default() }),
            task_queue_type: TaskQueueType::Activity.into(),
            ..Default::default()
        };
        let answer =
            self.client.connection().workflow_service().describe_task_queue(request.into_request()).await;
        let answer = answer.map_err(|status| self.status("looking for workers failed", status))?;
        let now = SystemTime::now();
        let polls = |poller: &PollerInfo| {
            let last = poller.last_access_time.and_then(|time| SystemTime::try_from(time).ok());
            // The server's clock may be ahead.
            last.is_some_and(|last| now.duration_since(last).is_ok_and(|since| since <= POLLS) || last > now)
        };
        let pollers = answer.into_inner().pollers.into_iter();
        Ok(pollers.filter(polls).map(|poller| Announced::of(&poller.identity)).collect())
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("address", &self.address)
            .field("namespace", &self.namespace)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// What a worker says of itself whenever it asks for work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announced {
    release: String,
    lacks: BTreeSet<String>,
}

impl Announced {
    /// The text that a worker announces itself with.
    pub(super) fn text(host: &str, lacks: &BTreeSet<String>) -> String {
        let lacks: Vec<&str> = lacks.iter().map(String::as_str).collect();
        let lacks = if lacks.is_empty() { String::new() } else { format!(" lacks {}", lacks.join(",")) };
        let mut text = format!("crashwise/{RELEASE} {}@{host}{lacks}", std::process::id());
        text.truncate(text.floor_char_boundary(900));
        text
    }

    fn of(identity: &str) -> Self {
        let mut words = identity.split(' ');
        let release = words.next().and_then(|word| word.strip_prefix("crashwise/")).unwrap_or("unknown");
        let lacks = words.skip_while(|word| *word != "lacks").nth(1).unwrap_or_default();
        Self {
            release: release.to_owned(),
            lacks: lacks.split(',').filter(|tool| !tool.is_empty()).map(str::to_owned).collect(),
        }
    }

    /// Whether it is of a release or of a later one.
    fn is_of(&self, release: &str) -> bool {
        let parse = |text: &str| text.parse::<semver::Version>().ok();
        match (parse(&self.release), parse(release)) {
            (Some(own), Some(asked)) => (own.major, own.minor) >= (asked.major, asked.minor),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_announce_their_release_and_what_they_lack() {
        let lacks = BTreeSet::from(["afl-fuzz".to_owned(), "cargo-fuzz".to_owned()]);
        let announced = Announced::of(&Announced::text("host", &lacks));
        assert_eq!((announced.release.as_str(), &announced.lacks), (RELEASE, &lacks));
        assert!(announced.is_of(RELEASE));
        assert_eq!(Announced::of(&Announced::text("host", &BTreeSet::new())).lacks, BTreeSet::new());
        for (own, asked, expect) in [
            ("0.1.0", "0.1.9", true),
            ("0.1.0", "0.2.0", false),
            ("1.0.0", "0.2.0", true),
            ("unknown", "0.1.0", false),
        ] {
            let announced = Announced { release: own.to_owned(), lacks: BTreeSet::new() };
            assert_eq!(announced.is_of(asked), expect, "{own} {asked}");
        }
        assert_eq!(Announced::of("123@somebody").release, "unknown");
    }

    #[test]
    fn profiles_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, ca) = (folder.path().join("temporal.toml"), folder.path().join("ca.pem"));
        std::fs::write(&ca, "authority").unwrap();
        let text = format!(
            "[profile.prod]\naddress = \"temporal.example:7233\"\nnamespace = \"security\"\napi_key = \"secret\"\n\
             [profile.prod.tls]\nserver_ca_cert_path = {:?}\n[profile.lab]\naddress = \"127.0.0.1:7233\"\n[profile.empty]\n",
            ca.display().to_string()
        );
        std::fs::write(&file, text).unwrap();
        let prod = ClusterOptions::from_profile("prod", Some(&file)).unwrap();
        assert_eq!((&*prod.address, &*prod.namespace), ("https://temporal.example:7233", "security"));
        assert_eq!(
            (prod.api_key.as_deref(), prod.tls.authority),
            (Some("secret"), Some(b"authority".to_vec()))
        );
        let lab = ClusterOptions::from_profile("lab", Some(&file)).unwrap();
        assert_eq!((&*lab.address, &*lab.namespace), ("http://127.0.0.1:7233", "default"));
        for name in ["empty", "nobody"] {
            let error = ClusterOptions::from_profile(name, Some(&file)).unwrap_err().chain();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn addresses_are_checked_and_keys_are_not_sent_in_the_clear() {
        for address in ["localhost:7233", "ftp://x:1", "", "http://"] {
            let error = ClusterOptions::new(address).connection(String::new()).unwrap_err();
            assert!(matches!(error, ClusterError::Address { .. }), "{address}: {error}");
        }
        let plain = ClusterOptions::new("http://localhost:7233");
        assert!(plain.connection(String::new()).is_ok());
        let error = plain.clone().with_api_key("secret").connection(String::new()).unwrap_err();
        assert!(error.to_string().contains("https"), "{error}");
        assert!(!format!("{:?}", plain.with_api_key("secret")).contains("secret"));
    }
}
