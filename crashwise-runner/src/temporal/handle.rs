//! A run on a cluster, in the hand of who asked for it.

use super::cluster::Cluster;
use super::error::ClusterError;
use super::hosted::Hosted;
use super::messages::{Doings, Line};
use crate::engine::millis;
use crate::{RunReport, RunStatus, RunnerError};
use crashwise_core::RunId;
use crashwise_core::workflow::{ApprovalRequest, Decision};
use serde_json::Value;
use std::fmt;
use std::time::{Duration, Instant, UNIX_EPOCH};
use temporalio_client::errors::{WorkflowGetResultError, WorkflowInteractionError, WorkflowQueryError};
use temporalio_client::tonic::Code;
use temporalio_client::{
    Client, RpcOptions, WorkflowCancelOptions, WorkflowDescribeOptions, WorkflowExecutionDescription,
    WorkflowExecutionStatus, WorkflowFetchHistoryOptions, WorkflowGetResultOptions, WorkflowHandle,
    WorkflowQueryOptions, WorkflowSignalOptions,
};

/// How long a server that is away is waited for.
const AWAY: Duration = Duration::from_mins(2);

/// How long a worker may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A run on a cluster. Dropping it does not stop the run.
#[derive(Clone)]
pub struct ClusterRun {
    pub(super) cluster: Cluster,
    pub(super) id: RunId,
}

type Handle = WorkflowHandle<Client, Hosted>;

impl ClusterRun {
    pub(super) fn new(cluster: Cluster, id: RunId) -> Self {
        Self { cluster, id }
    }

    /// The run.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    fn handle(&self) -> Handle {
        self.cluster.client.get_workflow_handle(self.id.as_str())
    }

    /// Waits for the end of the run and fetches its findings. While the server is away it is waited for, two minutes at most;
    /// the run goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`ClusterError::Unreachable`], and what [`ClusterRun::report`] says.
    pub async fn wait(&self) -> Result<RunReport, ClusterError> {
        let mut away: Option<Instant> = None;
        loop {
            let asked = Instant::now();
            let error = match self.handle().get_result(WorkflowGetResultOptions::default()).await {
                Ok(_)
                | Err(
                    WorkflowGetResultError::Failed(_)
                    | WorkflowGetResultError::Cancelled { .. }
                    | WorkflowGetResultError::Terminated { .. }
                    | WorkflowGetResultError::TimedOut,
                ) => return self.report().await,
                Err(WorkflowGetResultError::NotFound(_)) => {
                    return Err(RunnerError::UnknownRun { id: self.id.clone() }.into());
                }
                Err(WorkflowGetResultError::Rpc(status)) => {
                    self.cluster.status("waiting for the run failed", status)
                }
                Err(error) => ClusterError::server("waiting for the run failed", error),
            };
            // A long wait that broke off says nothing about how long the server has been away.
            let since = *away.get_or_insert(if asked.elapsed() > Duration::from_secs(15) {
                Instant::now()
            } else {
                asked
            });
            if !error.is_retryable() || since.elapsed() > AWAY {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The history of the run as the server tells it, as JSON that [`super::Replayer`] reads.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`ClusterError::Unreachable`].
    pub async fn history(&self) -> Result<Vec<u8>, ClusterError> {
        // Whether there is one is told by another question.
        self.describe().await?;
        let history = self.handle().fetch_history(WorkflowFetchHistoryOptions::default());
        history.to_json().await.map_err(|error| ClusterError::server("reading the history failed", error))
    }

    /// What the run did, from what is kept of it in the store.
    ///
    /// # Errors
    ///
    /// [`ClusterError::Store`] and [`ClusterError::Record`].
    pub async fn report(&self) -> Result<RunReport, ClusterError> {
        match super::fetch::report(&self.cluster.store, &self.id).await? {
            Some(report) => Ok(report),
            // It was ended by the server, or refused by its worker: nothing is kept of it.
            None => self.unkept().await,
        }
    }

    /// The report of a run of which nothing is kept.
    async fn unkept(&self) -> Result<RunReport, ClusterError> {
        let summary = self.summary().await?;
        let error = match self.handle().get_result(WorkflowGetResultOptions::default()).await {
            Err(WorkflowGetResultError::Failed(failure)) => crashwise_core::error_chain(&*failure),
            Err(WorkflowGetResultError::Terminated { .. }) => {
                "it was terminated by way of the server".to_owned()
            }
            Err(other) => crashwise_core::error_chain(&other),
            Ok(_) => "the store holds nothing of it".to_owned(),
        };
        Ok(super::fetch::without_record(&summary, error))
    }

    /// Asks the run to stop: what runs is stopped within about two seconds, cleanup is done, and the run ends as cancelled.
    ///
    /// # Errors
    ///
    /// [`RunnerError::WrongState`] when the run is over, [`RunnerError::UnknownRun`].
    pub async fn cancel(&self) -> Result<(), ClusterError> {
        self.check_open("cancelled").await?;
        let options = WorkflowCancelOptions::builder().reason("asked for").build();
        self.done(self.handle().cancel(options).await, "cancelling the run failed")
    }

    /// Asks the run to pause: steps that run are let finish, and no other begins.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn pause(&self) -> Result<(), ClusterError> {
        self.check_open("paused").await?;
        let sent = self.handle().signal(Hosted::pause, (), WorkflowSignalOptions::default()).await;
        self.done(sent, "pausing the run failed")
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`], also when nobody asked for a pause.
    pub async fn resume(&self) -> Result<(), ClusterError> {
        self.check_open("resumed").await?;
        if self.doings().await.is_ok_and(|doings| !doings.paused) {
            let (id, status, wanted) = (self.id.clone(), RunStatus::Running, "resumed");
            return Err(RunnerError::WrongState { id, status, wanted }.into());
        }
        let sent = self.handle().signal(Hosted::resume, (), WorkflowSignalOptions::default()).await;
        self.done(sent, "resuming the run failed")
    }

    /// Says yes or no to an approval, which may be asked for already or later.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`], and [`RunnerError::AlreadyDecided`] as far as a worker answers.
    pub async fn decide(
        &self,
        name: &str,
        approved: bool,
        by: &str,
        comment: &str,
    ) -> Result<(), ClusterError> {
        self.check_open("decided on").await?;
        if let Ok(doings) = self.doings().await
            && doings.decided.iter().any(|decided| decided == name)
        {
            return Err(RunnerError::AlreadyDecided { id: self.id.clone(), name: name.to_owned() }.into());
        }
        let at_ms = UNIX_EPOCH.elapsed().map_or(0, millis);
        let decision = Decision { approved, by: by.to_owned(), comment: comment.to_owned(), at_ms };
        let answer = (name.to_owned(), decision);
        let sent = self.handle().signal(Hosted::decide, answer, WorkflowSignalOptions::default()).await;
        self.done(sent, "sending the decision failed")
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// As [`Self::cancel`].
    pub async fn signal(&self, name: &str, value: Value) -> Result<(), ClusterError> {
        self.check_open("signalled").await?;
        let signal = (name.to_owned(), value);
        let sent = self.handle().signal(Hosted::signal, signal, WorkflowSignalOptions::default()).await;
        self.done(sent, "sending the signal failed")
    }

    /// The approvals that are waited for.
    ///
    /// # Errors
    ///
    /// [`ClusterError::NoAnswer`] when no worker tells.
    pub async fn waiting_approvals(&self) -> Result<Vec<ApprovalRequest>, ClusterError> {
        Ok(self.doings().await?.approvals)
    }

    /// Where the run is.
    ///
    /// # Errors
    ///
    /// [`RunnerError::UnknownRun`], [`ClusterError::Unreachable`].
    pub async fn status(&self) -> Result<RunStatus, ClusterError> {
        Ok(self.summary().await?.status)
    }

    pub(super) async fn describe(&self) -> Result<WorkflowExecutionDescription, ClusterError> {
        self.handle().describe(WorkflowDescribeOptions::default()).await.map_err(|error| match error {
            WorkflowInteractionError::NotFound(_) => RunnerError::UnknownRun { id: self.id.clone() }.into(),
            WorkflowInteractionError::Rpc(status) if status.code() == Code::InvalidArgument => {
                RunnerError::UnknownRun { id: self.id.clone() }.into()
            }
            WorkflowInteractionError::Rpc(status) => self.cluster.status("looking up the run failed", status),
            other => ClusterError::server("looking up the run failed", other),
        })
    }

    /// Identifies what the run asks for.
    pub(super) async fn asks(&self) -> Result<Option<String>, ClusterError> {
        Ok(self.describe().await?.memo().get::<String>("asks").ok().flatten())
    }

    async fn check_open(&self, wanted: &'static str) -> Result<(), ClusterError> {
        let summary = self.summary().await?;
        if summary.status.is_final() {
            let (id, status) = (self.id.clone(), summary.status);
            return Err(RunnerError::WrongState { id, status, wanted }.into());
        }
        Ok(())
    }

    fn done(&self, result: Result<(), WorkflowInteractionError>, context: &str) -> Result<(), ClusterError> {
        result.map_err(|error| match error {
            WorkflowInteractionError::NotFound(_) => {
                let (id, status, wanted) = (self.id.clone(), RunStatus::Completed, "changed");
                RunnerError::WrongState { id, status, wanted }.into()
            }
            WorkflowInteractionError::Rpc(status) => self.cluster.status(context, status),
            other => ClusterError::server(context, other),
        })
    }

    /// What the run is doing, told by its worker.
    pub(super) async fn doings(&self) -> Result<Doings, ClusterError> {
        let answer = self.handle().query(Hosted::status, (), query()).await;
        answer.map_err(|error| self.not_answered(error))
    }

    /// Steps that ended, from one on.
    pub(super) async fn lines(&self, from: usize) -> Result<Vec<Line>, ClusterError> {
        let answer = self.handle().query(Hosted::steps, from, query()).await;
        answer.map_err(|error| self.not_answered(error))
    }

    fn not_answered(&self, error: WorkflowQueryError) -> ClusterError {
        match error {
            WorkflowQueryError::NotFound(_) => RunnerError::UnknownRun { id: self.id.clone() }.into(),
            WorkflowQueryError::Rpc(status) if status.code() == Code::Unavailable => {
                self.cluster.status("asking a worker failed", status)
            }
            _ => ClusterError::NoAnswer { id: self.id.clone() },
        }
    }
}

fn query() -> WorkflowQueryOptions {
    WorkflowQueryOptions::builder().rpc_options(RpcOptions::builder().timeout(ANSWER).build()).build()
}

/// Our status for one of the server's.
pub(super) fn status_of(status: WorkflowExecutionStatus, word: Option<&str>) -> RunStatus {
    match status {
        WorkflowExecutionStatus::Completed => RunStatus::Completed,
        WorkflowExecutionStatus::Canceled => RunStatus::Cancelled,
        WorkflowExecutionStatus::TimedOut => RunStatus::TimedOut,
        WorkflowExecutionStatus::Failed | WorkflowExecutionStatus::Terminated => word
            .and_then(RunStatus::from_word)
            .filter(|status| status.is_final())
            .unwrap_or(RunStatus::Failed),
        _ => word.and_then(RunStatus::from_word).unwrap_or(RunStatus::Running),
    }
}

impl fmt::Debug for ClusterRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterRun").field("id", &self.id).finish_non_exhaustive()
    }
}
