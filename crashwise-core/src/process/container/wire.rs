//! Requests to an engine over its socket: HTTP 1.1, one connection each, so that an engine that was started anew answers the next.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio_util::task::AbortOnDropHandle;

/// More than any answer that is read: an engine with thousands of containers lists them in a few.
const MOST: usize = 64 << 20;

/// The socket of an engine, and how long it may take to answer.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    pub(super) socket: PathBuf,
    pub(super) patience: Duration,
}

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// Nobody answered, or not in time, or the connection broke.
    #[error(transparent)]
    Lost(#[from] io::Error),
    /// It refused.
    #[error("the engine answers {status}: {message}")]
    Refused { status: u16, message: String },
    /// Its answer is none.
    #[error("the engine answers what is none of its API: {0}")]
    Garbage(String),
}

impl WireError {
    /// The code of a refusal.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl From<WireError> for io::Error {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Lost(source) => source,
            other => io::Error::other(other),
        }
    }
}

/// Bytes to send, and of what kind they are.
#[derive(Debug, Clone, Default)]
pub(super) enum Body {
    #[default]
    Empty,
    Json(Vec<u8>),
    Tar(Vec<u8>),
}

impl Wire {
    pub(super) fn new(socket: &Path, patience: Duration) -> Self {
        Self { socket: socket.to_owned(), patience }
    }

    /// Asks for something, and reads the answer as JSON.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, WireError> {
        let answer = self.ask(Method::GET, path, Body::Empty).await?;
        serde_json::from_slice(&answer).map_err(|error| WireError::Garbage(error.to_string()))
    }

    /// Does something; what the engine says to it.
    pub(super) async fn post(&self, path: &str, body: Body) -> Result<Bytes, WireError> {
        self.ask(Method::POST, path, body).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<(), WireError> {
        self.ask(Method::DELETE, path, Body::Empty).await.map(drop)
    }

    async fn ask(&self, method: Method, path: &str, body: Body) -> Result<Bytes, WireError> {
        self.in_time(async {
            let (response, _driver) = self.send(method, path, body, false).await?;
            let status = response.status();
            let answer = collect(response).await?;
            if status.is_success() || status == StatusCode::NOT_MODIFIED {
                Ok(answer)
            } else {
                Err(refused(status, &answer))
            }
        })
        .await
    }

    /// Asks for a stream in both directions.
    pub(super) async fn upgrade(&self, path: &str) -> Result<TokioIo<Upgraded>, WireError> {
        self.in_time(async {
            let (response, _driver) = self.send(Method::POST, path, Body::Empty, true).await?;
            if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                let status = response.status();
                return Err(refused(status, &collect(response).await?));
            }
            Ok(TokioIo::new(hyper::upgrade::on(response).await.map_err(lost)?))
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
        tokio::time::timeout(self.patience, work).await.unwrap_or_else(|_| {
            let seconds = self.patience.as_secs_f64();
            let why = format!("the engine did not answer within {seconds} s");
            Err(io::Error::new(io::ErrorKind::TimedOut, why).into())
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
        upgrade: bool,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), WireError> {
        let stream = UnixStream::connect(&self.socket).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let connection = connection.with_upgrades();
        let driver = tokio::spawn(async move {
            // What goes wrong with it, the answer tells.
            let _ = connection.await;
        });
        let driver = AbortOnDropHandle::new(driver);
        let mut request = Request::builder().method(method).uri(path).header(HOST, "localhost");
        if upgrade {
            request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "tcp");
        }
        let body = match body {
            Body::Empty => Bytes::new(),
            Body::Json(bytes) => {
                request = request.header(CONTENT_TYPE, "application/json");
                bytes.into()
            }
            Body::Tar(bytes) => {
                request = request.header(CONTENT_TYPE, "application/x-tar");
                bytes.into()
            }
        };
        let request = request.body(Full::new(body)).map_err(|error| WireError::Garbage(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(lost)?;
        Ok((response, driver))
    }
}

async fn collect(response: Response<Incoming>) -> Result<Bytes, WireError> {
    let body = Limited::new(response.into_body(), MOST).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| WireError::Garbage(error.to_string()))
}

fn lost(error: hyper::Error) -> WireError {
    if error.is_parse() {
        return WireError::Garbage(error.to_string());
    }
    let kind = if error.is_incomplete_message() || error.is_canceled() {
        io::ErrorKind::ConnectionReset
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, error).into()
}

/// What an engine says when it refuses: a message in JSON, or anything.
fn refused(status: StatusCode, answer: &[u8]) -> WireError {
    #[derive(Deserialize)]
    struct Said {
        message: String,
    }
    let message = serde_json::from_slice(answer).map_or_else(
        |_| String::from_utf8_lossy(&answer[..answer.len().min(2000)]).trim().to_owned(),
        |said: Said| said.message,
    );
    WireError::Refused { status: status.as_u16(), message }
}
