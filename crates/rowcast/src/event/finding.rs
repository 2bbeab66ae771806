//! What somebody finds who looks at a database for what stands in Rowcast's way: `rowcast doctor`.

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How it is.
    pub state: State,
    /// What was looked at: `server`, `wal_level`, `table public.orders`.
    pub about: String,
    /// How it is, and what that means, in a sentence or two.
    pub message: String,
    /// The statements that mend it, to be run by somebody who may. Empty where nothing has to be done in SQL.
    pub sql: Vec<String>,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Good,
    /// It works; it could be better.
    Advice,
    /// Something is lost, or will go wrong.
    Warning,
    /// Rowcast cannot work like this.
    Broken,
}

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    pub(crate) fn add(&mut self, state: State, about: impl Into<String>, message: impl Into<String>) {
        self.mend(state, about, message, []);
    }

    pub(crate) fn mend<const N: usize>(
        &mut self,
        state: State,
        about: impl Into<String>,
        message: impl Into<String>,
        sql: [String; N],
    ) {
        self.0.push(Finding { state, about: about.into(), message: message.into(), sql: sql.into() });
    }
}
