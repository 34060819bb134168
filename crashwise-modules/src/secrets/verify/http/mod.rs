//! Asks issuers over HTTP, by definitions that are data.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Verification, Verifier};
use crate::secrets::{RuleInfo, Secret};

const ISSUERS: &str = include_str!("issuers.toml");
/// The most time for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The least time between two questions to one host.
const PAUSE: Duration = Duration::from_millis(250);
/// The most bytes read of an answer.
const MAX_ANSWER: usize = 64 << 10;

/// Asks the issuers it knows, at their documented addresses that only read: at most four questions a second to each, ten
/// seconds for an answer, no redirects, no proxies, the secret in a header and never in an address.
#[derive(Debug)]
pub struct HttpVerifier {
    client: Client,
    /// By rule, without `secret/`.
    issuers: BTreeMap<String, Issuer>,
    /// When each host may be asked again.
    next: Mutex<BTreeMap<String, Instant>>,
}

/// Why a verifier cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidVerifier {
    /// No issuer of this name is known.
    #[error("there is no issuer {0:?} to verify with")]
    UnknownProvider(String),
    /// An address is not one of HTTPS, or of HTTP on this machine.
    #[error("{host:?} is no address for {provider}, expected https://…, or http:// and this machine")]
    Host {
        /// Whose address.
        provider: String,
        /// The text given.
        host: String,
    },
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuers {
    issuer: Vec<Issuer>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Issuer {
    provider: String,
    rules: Vec<String>,
    host: String,
    path: String,
    #[serde(default)]
    method: Option<String>,
    header: (String, String),
    #[serde(default)]
    more: Vec<(String, String)>,
    verified: Vec<u16>,
    rejected: Vec<u16>,
    verified_text: Option<String>,
    rejected_text: Option<String>,
}

impl HttpVerifier {
    /// A verifier for all known issuers. `hosts` gives other addresses by provider, for what is hosted elsewhere.
    ///
    /// ```
    /// use crashwise_modules::secrets::HttpVerifier;
    ///
    /// let hosts = [("GitLab".to_owned(), "https://git.example".to_owned())].into();
    /// let verifier = HttpVerifier::new(&hosts)?;
    /// assert!(verifier.providers().any(|provider| provider == "GitLab"));
    /// # Ok::<(), crashwise_modules::secrets::InvalidVerifier>(())
    /// ```
    pub fn new(hosts: &BTreeMap<String, String>) -> Result<Self, InvalidVerifier> {
        let mut all = toml::from_str::<Issuers>(ISSUERS).map_or_else(|_| Vec::new(), |file| file.issuer);
        for (provider, host) in hosts {
            let mut known =
                all.iter_mut().filter(|one| one.provider.eq_ignore_ascii_case(provider)).peekable();
            if known.peek().is_none() {
                return Err(InvalidVerifier::UnknownProvider(provider.clone()));
            }
            if !is_address(host) {
                return Err(InvalidVerifier::Host { provider: provider.clone(), host: host.clone() });
            }
            known.for_each(|one| host.trim_end_matches('/').clone_into(&mut one.host));
        }
        // One that is there already does as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("crashwise/", env!("CARGO_PKG_VERSION")))
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(InvalidVerifier::Client)?;
        let issuers = all
            .into_iter()
            .flat_map(|issuer| issuer.rules.clone().into_iter().map(move |rule| (rule, issuer.clone())))
            .collect();
        Ok(Self { client, issuers, next: Mutex::default() })
    }

    /// The providers that are asked.
    pub fn providers(&self) -> impl Iterator<Item = &str> {
        self.issuers.values().map(|issuer| issuer.provider.as_str())
    }

    async fn ask(&self, issuer: &Issuer, secret: &Secret) -> Option<Verification> {
        let url = Url::parse(&format!("{}{}", issuer.host, issuer.path)).ok()?;
        let method = issuer.method.as_ref().map_or(Some(Method::GET), |name| name.parse().ok())?;
        let headers = headers(issuer, secret)?;
        self.wait_for_turn(url.host_str().unwrap_or_default()).await;
        let mut answer = self.client.request(method, url).headers(headers).send().await.ok()?;
        let status = answer.status();
        let mut text = Vec::new();
        if issuer.verified_text.is_some() || issuer.rejected_text.is_some() {
            while let Some(chunk) = answer.chunk().await.ok()? {
                text.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER - text.len())]);
                if text.len() == MAX_ANSWER {
                    break;
                }
            }
        }
        Some(issuer.reads(status, &String::from_utf8_lossy(&text)))
    }

    /// Waits until the host may be asked again.
    async fn wait_for_turn(&self, host: &str) {
        let turn = {
            let mut next = self.next.lock().await;
            let turn = next.get(host).copied().unwrap_or_else(Instant::now).max(Instant::now());
            next.insert(host.to_owned(), turn + PAUSE);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
}

#[async_trait]
impl Verifier for HttpVerifier {
    async fn verify(&self, rule: &RuleInfo, secret: &Secret) -> Option<Verification> {
        let id = rule.id.as_str();
        let issuer = self.issuers.get(id.strip_prefix("secret/").unwrap_or(id))?;
        Some(self.ask(issuer, secret).await.unwrap_or(Verification::Unknown))
    }
}

impl Issuer {
    fn reads(&self, status: StatusCode, text: &str) -> Verification {
        let compact: String = text.split_whitespace().collect();
        let says = |wanted: &Option<String>| wanted.as_ref().is_none_or(|wanted| compact.contains(wanted));
        if self.verified.contains(&status.as_u16()) && says(&self.verified_text) {
            Verification::Verified
        } else if self.rejected.contains(&status.as_u16()) && says(&self.rejected_text) {
            Verification::Rejected
        } else {
            Verification::Unknown
        }
    }
}

fn headers(issuer: &Issuer, secret: &Secret) -> Option<HeaderMap> {
    let secret = std::str::from_utf8(secret.reveal()).ok()?;
    let mut headers = HeaderMap::new();
    let (name, form) = &issuer.header;
    let mut value = HeaderValue::from_str(&form.replace("{secret}", secret)).ok()?;
    value.set_sensitive(true);
    headers.insert(HeaderName::try_from(name).ok()?, value);
    for (name, value) in &issuer.more {
        headers.insert(HeaderName::try_from(name).ok()?, HeaderValue::from_str(value).ok()?);
    }
    Some(headers)
}

/// Secrets travel encrypted, or not beyond this machine.
fn is_address(host: &str) -> bool {
    Url::parse(host).is_ok_and(|url| match url.scheme() {
        "https" => url.host_str().is_some(),
        "http" => matches!(url.host_str(), Some("127.0.0.1" | "[::1]" | "localhost")),
        _ => false,
    })
}
