//! S3-compatible services.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::{ClientOptions, RetryConfig};

use super::{Store, StoreError};

/// How to reach a bucket.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Config {
    bucket: String,
    endpoint: Option<String>,
    region: String,
    key: Option<(String, String)>,
    base: String,
}

/// A variable or URL of the configuration that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {problem}")]
pub struct InvalidS3Config {
    /// The variable, or `url`.
    pub name: &'static str,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl S3Config {
    /// A bucket of the service's default endpoint, in region `us-east-1`.
    #[must_use]
    pub fn new(bucket: impl Into<String>) -> Self {
        let bucket = bucket.into();
        Self { bucket, endpoint: None, region: "us-east-1".to_owned(), key: None, base: String::new() }
    }

    /// Reads `S3_ENDPOINT`, `S3_ACCESS_KEY`, `S3_SECRET_KEY`, `S3_BUCKET` (default `crashwise`), `S3_REGION` (default
    /// `us-east-1`) and `S3_USE_SSL` (default `false`, used when the endpoint has no scheme) from wherever `variable`
    /// looks them up.
    ///
    /// ```
    /// use crashwise_core::store::S3Config;
    ///
    /// let config = S3Config::from_variables(|name| match name {
    ///     "S3_ENDPOINT" => Some("localhost:9000".to_owned()),
    ///     "S3_ACCESS_KEY" => Some("me".to_owned()),
    ///     "S3_SECRET_KEY" => Some("secret".to_owned()),
    ///     _ => None,
    /// })?;
    /// assert_eq!(config.endpoint(), Some("http://localhost:9000"));
    /// # Ok::<_, crashwise_core::store::InvalidS3Config>(())
    /// ```
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidS3Config> {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let mut config = Self::new(variable("S3_BUCKET").unwrap_or_else(|| "crashwise".to_owned()));
        if let Some(region) = variable("S3_REGION") {
            config = config.with_region(region);
        }
        let ssl = match variable("S3_USE_SSL").as_deref() {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(_) => return Err(InvalidS3Config { name: "S3_USE_SSL", problem: "neither true nor false" }),
        };
        if let Some(endpoint) = variable("S3_ENDPOINT") {
            config = config.with_endpoint(match endpoint.split_once("://") {
                Some(("http" | "https", _)) => endpoint,
                Some(_) => {
                    return Err(InvalidS3Config { name: "S3_ENDPOINT", problem: "neither http nor https" });
                }
                None if ssl => format!("https://{endpoint}"),
                None => format!("http://{endpoint}"),
            });
        }
        match (variable("S3_ACCESS_KEY"), variable("S3_SECRET_KEY")) {
            (Some(access), Some(secret)) => Ok(config.with_key(access, secret)),
            (None, None) => Ok(config),
            (None, _) => {
                Err(InvalidS3Config { name: "S3_ACCESS_KEY", problem: "missing beside S3_SECRET_KEY" })
            }
            (_, None) => {
                Err(InvalidS3Config { name: "S3_SECRET_KEY", problem: "missing beside S3_ACCESS_KEY" })
            }
        }
    }

    /// Takes bucket and base from a URL `s3://bucket/base`.
    pub fn with_url(mut self, url: &str) -> Result<Self, InvalidS3Config> {
        let rest =
            url.strip_prefix("s3://").ok_or(InvalidS3Config { name: "url", problem: "not an s3:// URL" })?;
        let (bucket, base) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(InvalidS3Config { name: "url", problem: "without a bucket" });
        }
        bucket.clone_into(&mut self.bucket);
        base.trim_matches('/').clone_into(&mut self.base);
        Ok(self)
    }

    /// Sets the endpoint, with its scheme.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets the region.
    #[must_use]
    pub fn with_region(mut self, region: impl Into<String>) -> Self {
        self.region = region.into();
        self
    }

    /// Sets access key and secret key.
    #[must_use]
    pub fn with_key(mut self, access: impl Into<String>, secret: impl Into<String>) -> Self {
        self.key = Some((access.into(), secret.into()));
        self
    }

    /// The endpoint, if it is not the service's default.
    #[must_use]
    pub fn endpoint(&self) -> Option<&str> {
        self.endpoint.as_deref()
    }
}

impl fmt::Debug for S3Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Config")
            .field("bucket", &self.bucket)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A bucket of an S3-compatible service. The bucket must exist.
    ///
    /// The first one also makes ring the process's default for TLS, unless one was chosen before.
    pub fn s3(config: &S3Config) -> Result<Self, StoreError> {
        // An error means that there is a default already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_retry(RetryConfig {
                max_retries: 4,
                retry_timeout: Duration::from_mins(1),
                ..RetryConfig::default()
            })
            .with_client_options(
                // A slow transfer is fine, a silent one is not.
                ClientOptions::new()
                    .with_timeout_disabled()
                    .with_read_timeout(Duration::from_secs(30))
                    .with_connect_timeout(Duration::from_secs(5))
                    .with_allow_http(true),
            );
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        builder = match &config.key {
            Some((access, secret)) => builder.with_access_key_id(access).with_secret_access_key(secret),
            None => builder.with_skip_signature(true),
        };
        let objects = builder.build().map_err(|error| StoreError::new(&config.bucket, &error))?;
        Ok(Self::new(Arc::new(objects)).with_base(&config.base))
    }
}
