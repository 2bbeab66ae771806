//! Row-level security: the database's own policies say which rows a role sees.

use std::fmt;
use std::sync::Arc;

use crate::event::{Row, Table};

/// As whom rows are read, so that the database's policies decide about them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AsRole {
    /// The role.
    pub role: Box<str>,
    /// What the client's token says, as a JSON object: policies read it as `current_setting('request.jwt.claims')`.
    pub claims: Box<str>,
    /// The columns that the role may read, as indexes into the table's; `None`: all. The others are NULL.
    pub readable: Option<Arc<[usize]>>,
    /// Tells apart what was asked under other policies.
    pub era: u64,
}

// What a token says may be private.
impl fmt::Debug for AsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsRole").field("role", &self.role).finish_non_exhaustive()
    }
}

/// The policies of a table that hold for a role, as they are at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// What they ask of a row, as SQL.
    pub(super) condition: Box<str>,
    /// Changes when one of them does.
    pub(super) stamp: Box<str>,
    /// All that they depend on, as far as it can be seen.
    pub(super) about: Box<str>,
}

/// Which of these rows does a role see?
#[derive(Debug, Clone)]
pub struct Sight {
    /// As [`Store::table`](super::Store::table) returned it.
    pub table: Arc<Table>,
    /// Who looks.
    pub role: Arc<AsRole>,
    /// As [`Store::policies`](super::Store::policies) returned them.
    pub policies: Arc<Policies>,
    /// Versions of rows, of now or of before; every column is known.
    pub rows: Vec<Row>,
}
