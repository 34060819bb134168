//! Workflows without the types of their parameters and output, as engines hold them.

use super::{Workflow, WorkflowContext, WorkflowError};
use crate::{Metadata, schema_of};
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use serde::Deserialize;
use serde_json::Value;

/// A [`Workflow`] whose parameters and output are JSON. Every workflow is one; a definition as data is one.
pub trait AnyWorkflow: Send + Sync + 'static {
    /// Name, version, needs; with the schema of the parameters.
    fn metadata(&self) -> Metadata;

    /// Orchestrates, with parameters that were checked already.
    fn run_json<'a>(
        &'a self,
        cx: &'a WorkflowContext,
        params: Value,
    ) -> LocalBoxFuture<'a, Result<Value, WorkflowError>>;
}

impl<W: Workflow> AnyWorkflow for W {
    fn metadata(&self) -> Metadata {
        let mut metadata = Workflow::metadata(self);
        let described = metadata.parameters.get("properties").and_then(Value::as_object);
        if described.is_none_or(serde_json::Map::is_empty) {
            metadata.parameters = schema_of::<W::Params>();
        }
        metadata
    }

    fn run_json<'a>(
        &'a self,
        cx: &'a WorkflowContext,
        params: Value,
    ) -> LocalBoxFuture<'a, Result<Value, WorkflowError>> {
        async move {
            let params = W::Params::deserialize(params)?;
            let output = self.run(cx, params).await?;
            Ok(serde_json::to_value(output)?)
        }
        .boxed_local()
    }
}
