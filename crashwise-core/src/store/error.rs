//! What can go wrong with a store.

use std::fmt;
use std::io;

/// What kind of failure it was, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The object does not exist.
    NotFound,
    /// Credentials are missing or do not suffice.
    Denied,
    /// The bytes that arrived are not those that were stored.
    Damaged,
    /// The object was replaced while it was read.
    Changed,
    /// The object is larger than the caller allows.
    TooLarge,
    /// The store could not be reached or broke off, also after retries.
    Unavailable,
    /// A file of this machine could not be read or written.
    Local,
    /// The store's configuration is wrong.
    Config,
}

/// A failed operation on a store: which object, what kind of failure, and the cause.
#[derive(Debug)]
pub struct StoreError {
    kind: StoreErrorKind,
    object: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StoreError {
    /// Translates an error of the backend.
    pub(super) fn new(object: &str, error: &object_store::Error) -> Self {
        use object_store::Error;
        let kind = match error {
            Error::NotFound { .. } => StoreErrorKind::NotFound,
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreErrorKind::Denied,
            Error::Precondition { .. } | Error::NotModified { .. } => StoreErrorKind::Changed,
            Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. } => StoreErrorKind::Config,
            _ => StoreErrorKind::Unavailable,
        };
        let source = if kind == StoreErrorKind::NotFound { None } else { Some(root_cause(error)) };
        Self { kind, object: object.to_owned(), source }
    }

    pub(super) fn of(kind: StoreErrorKind, object: impl fmt::Display) -> Self {
        Self { kind, object: object.to_string(), source: None }
    }

    pub(super) fn io(object: impl fmt::Display, error: io::Error) -> Self {
        Self { kind: StoreErrorKind::Local, object: object.to_string(), source: Some(Box::new(error)) }
    }

    /// What kind of failure it was.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// The key of the object, or the path of the local file.
    #[must_use]
    pub fn object(&self) -> &str {
        &self.object
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unavailable | StoreErrorKind::Damaged | StoreErrorKind::Changed)
    }
}

/// The last of a chain of causes. The backend repeats each cause in all that it leads to, so the last one says it all.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> Box<dyn std::error::Error + Send + Sync> {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    match root.downcast_ref::<io::Error>() {
        Some(error) => match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code).into(),
            None => io::Error::new(error.kind(), error.to_string()).into(),
        },
        None => root.to_string().trim_end_matches([':', ' ']).into(),
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = &self.object;
        match self.kind {
            StoreErrorKind::NotFound => write!(f, "find {object} in the store"),
            StoreErrorKind::Denied => write!(f, "get access to {object} in the store"),
            StoreErrorKind::Damaged => write!(f, "verify {object}: it arrived damaged"),
            StoreErrorKind::Changed => write!(f, "read {object}: it was replaced meanwhile"),
            StoreErrorKind::TooLarge => write!(f, "read {object}: it is larger than allowed"),
            StoreErrorKind::Unavailable => write!(f, "reach the store for {object}"),
            StoreErrorKind::Local => write!(f, "read or write {object}"),
            StoreErrorKind::Config => write!(f, "set up the store for {object}"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
