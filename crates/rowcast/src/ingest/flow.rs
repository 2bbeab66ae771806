//! The way of a source's records to rows: known by the source's name, so that a dead letter can go it again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::once::Once;
use super::shape::Shape;
use crate::event::TableName;

/// The way of a source's records to rows.
#[derive(Debug, Clone)]
pub struct Flow {
    /// The source's name.
    pub source: Arc<str>,
    /// Where its rows go.
    pub table: TableName,
    /// What is asked of its records, and computed from them.
    pub shape: Shape,
    /// How each record becomes one row.
    pub once: Once,
}

/// All ways, by the names of their sources.
#[derive(Debug, Clone, Default)]
pub struct Flows(BTreeMap<Arc<str>, Arc<Flow>>);

impl Flows {
    /// The way of a source's records.
    pub fn get(&self, source: &str) -> Option<&Arc<Flow>> {
        self.0.get(source)
    }
}

impl FromIterator<Flow> for Flows {
    fn from_iter<I: IntoIterator<Item = Flow>>(flows: I) -> Self {
        Self(flows.into_iter().map(|flow| (flow.source.clone(), Arc::new(flow))).collect())
    }
}
