//! Shows a workflow of your own: steps, a fan-out, a person who has to agree, and its unit test without an engine.
//!
//! Run: `cargo run --example custom_workflow`
//!
//! ```text
//! Release { audited: ["api", "web"], findings: 2 } after 2 h of virtual time
//! "release" was rejected by bob: not on a Friday
//! ```

use crashwise_core::testing::WorkflowTest;
use crashwise_core::workflow::{Retry, Workflow, WorkflowContext, WorkflowError};
use crashwise_core::{Metadata, ModuleOutput, Severity, SeverityCounts, Version};
use serde_json::json;
use std::time::Duration;

struct ReleaseAudit;

#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Release {
    audited: Vec<String>,
    findings: u64,
}

impl Workflow for ReleaseAudit {
    type Params = Vec<String>;
    type Output = Release;

    fn metadata(&self) -> Metadata {
        Metadata::new("release_audit", Version::new(1, 0, 0), "Audits services, then asks for the release.")
    }

    async fn run(&self, cx: &WorkflowContext, services: Vec<String>) -> Result<Release, WorkflowError> {
        let audits = cx.map("audit", 2, services.clone(), |cx, service| async move {
            let step = cx.step("scan").retry(Retry::attempts(3)).timeout(Duration::from_mins(10));
            step.call_named("code_analyzer", json!({ "include": [service] })).await
        });
        let findings = audits.await?.iter().map(|audit| audit.counts.total()).sum();
        cx.sleep(Duration::from_hours(2)).await?;
        cx.approval("release").prompt(format!("{findings} findings: release?")).granted().await?;
        Ok(Release { audited: services, findings })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let services = || vec!["api".to_owned(), "web".to_owned()];
    let test = WorkflowTest::new(ReleaseAudit)
        .fake("audit/*/scan", |_| Ok(ModuleOutput::default().with_counts(SeverityCounts::one(Severity::Low))))
        .approve("release", "ann");
    let run = test.run(services()).await;
    println!("{:?} after {} h of virtual time", run.result?, run.elapsed.as_secs() / 3600);
    test.replay_from_every_prefix(services()).await?;
    let rejected = test.reject("release", "bob", "not on a Friday").run(services()).await;
    println!("{}", rejected.result.expect_err("bob said no"));
    Ok(())
}
