//! Modules without the type of their configuration, as registries and engines hold them.

use super::{Module, ModuleContext, ModuleError, ModuleInfo, Summary};
use crate::document::{Schema, apply_defaults};
use crate::{Problem, Problems, schema_of};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;
use std::path::PathBuf;

/// A [`Module`] whose configuration is JSON. Every module is one.
#[async_trait]
pub trait AnyModule: Send + Sync + 'static {
    /// Name, version, kind and needs.
    fn info(&self) -> ModuleInfo;

    /// JSON Schema of the configuration.
    fn config_schema(&self) -> Value;

    /// Fills in defaults and checks a configuration against its schema; all problems at once.
    fn check_config(&self, config: Value) -> Result<Value, Problems>;

    /// Files and folders outside the workspace that a run with this configuration reads; none when it does not fit.
    fn reads(&self, config: &Value) -> Vec<PathBuf>;

    /// Checks the configuration and runs the module.
    async fn run_json(&self, cx: &ModuleContext, config: Value) -> Result<Summary, ModuleError>;
}

#[async_trait]
impl<M: Module> AnyModule for M {
    fn info(&self) -> ModuleInfo {
        Module::info(self)
    }

    fn config_schema(&self) -> Value {
        schema_of::<M::Config>()
    }

    fn check_config(&self, config: Value) -> Result<Value, Problems> {
        check::<M>(self, config).map(|(config, _)| config)
    }

    fn reads(&self, config: &Value) -> Vec<PathBuf> {
        check::<M>(self, config.clone())
            .map_or_else(|_| Vec::new(), |(_, config)| Module::reads(self, &config))
    }

    async fn run_json(&self, cx: &ModuleContext, config: Value) -> Result<Summary, ModuleError> {
        let (_, config) =
            check::<M>(self, config).map_err(|problems| ModuleError::Config(problems.to_string()))?;
        self.run(cx, config).await
    }
}

fn check<M: Module>(module: &M, mut config: Value) -> Result<(Value, M::Config), Problems> {
    let source = format!("configuration of {}", Module::info(module).name);
    if config.is_null() {
        config = serde_json::json!({});
    }
    // A type that fits needs no schema; the schema is there for the words when it does not.
    if let Ok(typed) = M::Config::deserialize(&config)
        && let Ok(complete) = serde_json::to_value(&typed)
    {
        return Ok((complete, typed));
    }
    let schema = schema_of::<M::Config>();
    apply_defaults(&schema, &mut config);
    let compiled = Schema::new(schema).map_err(|problem| Problems::one(&source, problem))?;
    let problems: Vec<Problem> = compiled.check(&config).into_iter().map(|(_, problem)| problem).collect();
    if !problems.is_empty() {
        return Err(Problems::new(source, problems));
    }
    match M::Config::deserialize(&config) {
        Ok(typed) => Ok((config, typed)),
        Err(error) => Err(Problems::one(source, Problem::new("", error.to_string()))),
    }
}
