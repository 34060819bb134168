//! How a step is carried out.

use super::StepErrorKind;
use crate::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How a step is carried out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct StepOptions {
    /// When it is tried again.
    pub retry: Retry,
    /// The most time for one attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The most time for all attempts and the waits between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_timeout: Option<Span>,
    /// The most time between two heartbeats; an attempt that is silent for longer is given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_timeout: Option<Span>,
    /// A result with the same fingerprint, also of another run, is taken instead of running the step.
    pub cached: bool,
    /// Never run twice: when a crash leaves it open whether it ran, the run stops with `outcome_unknown`.
    pub at_most_once: bool,
    /// The vertical whose workers run it; none means the workflow's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Higher goes first among waiting steps.
    pub priority: i32,
}

/// When and how often a step is tried again.
///
/// Only errors that may pass are: transient ones of modules, timeouts of an attempt, and errors of closures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Retry {
    /// Attempts in all; 1 means no second one.
    #[schemars(range(min = 1))]
    pub maximum_attempts: u32,
    /// The wait before the second attempt.
    pub initial_interval: Span,
    /// What each further wait is multiplied by.
    #[schemars(range(min = 1.0))]
    pub backoff_coefficient: f64,
    /// The longest wait.
    pub maximum_interval: Span,
    /// Share of each wait, 0 to 1, that is random, so that many runs do not knock at once.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub jitter: f64,
    /// Kinds of errors that are final, beside those that always are.
    pub non_retryable: Vec<StepErrorKind>,
}

impl Default for Retry {
    /// Three attempts, waits of 2 s and 4 s.
    fn default() -> Self {
        Self {
            maximum_attempts: 3,
            initial_interval: Span::new(Duration::from_secs(2)),
            backoff_coefficient: 2.0,
            maximum_interval: Span::new(Duration::from_secs(100)),
            jitter: 0.0,
            non_retryable: Vec::new(),
        }
    }
}

impl Retry {
    /// One attempt.
    pub fn never() -> Self {
        Self { maximum_attempts: 1, ..Self::default() }
    }

    /// A number of attempts in all (at least 1) with the default waits.
    pub fn attempts(number: u32) -> Self {
        Self { maximum_attempts: number.max(1), ..Self::default() }
    }

    /// Sets the wait before the second attempt.
    #[must_use]
    pub fn with_initial_interval(mut self, wait: Duration) -> Self {
        self.initial_interval = Span::new(wait);
        self
    }

    /// Sets what each further wait is multiplied by.
    #[must_use]
    pub fn with_backoff(mut self, coefficient: f64) -> Self {
        self.backoff_coefficient = coefficient;
        self
    }

    /// Sets the longest wait.
    #[must_use]
    pub fn with_maximum_interval(mut self, wait: Duration) -> Self {
        self.maximum_interval = Span::new(wait);
        self
    }

    /// Sets the share of each wait that is random, 0 to 1.
    #[must_use]
    pub fn with_jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Adds a kind of error that is final.
    #[must_use]
    pub fn without(mut self, kind: StepErrorKind) -> Self {
        self.non_retryable.push(kind);
        self
    }

    /// Whether another attempt follows when attempt `attempt` (1 is the first) ended with `kind`.
    pub fn again(&self, attempt: u32, kind: StepErrorKind) -> bool {
        attempt < self.maximum_attempts && kind.is_retryable() && !self.non_retryable.contains(&kind)
    }

    /// The wait after attempt `attempt` (1 is the first); `random` in 0 to 1 fills the share of jitter.
    ///
    /// ```
    /// use crashwise_core::workflow::Retry;
    /// let waits: Vec<u64> = (1..=3).map(|n| Retry::attempts(4).wait(n, 0.5).as_secs()).collect();
    /// assert_eq!(waits, [2, 4, 8]);
    /// ```
    pub fn wait(&self, attempt: u32, random: f64) -> Duration {
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let longest = self.maximum_interval.duration().as_secs_f64();
        let factor = self.backoff_coefficient.max(1.0).powi(exponent);
        let wait = (self.initial_interval.duration().as_secs_f64() * factor).min(longest);
        let jittered = wait * (1.0 - self.jitter + self.jitter * random.clamp(0.0, 1.0));
        Duration::try_from_secs_f64(jittered).unwrap_or(self.maximum_interval.duration())
    }
}
