//! Values as text that PostgreSQL reads into whatever type the statement wants there, and names as SQL.

use std::error::Error;

use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use crate::event::{TableName, Value};
use crate::postgres::name::quote;
use crate::postgres::types::to_text;

/// A parameter whose type the server finds out from the statement.
#[derive(Debug)]
pub(super) struct Literal(Option<String>);

impl Literal {
    /// As a parameter of a statement.
    pub(super) fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        (self, Type::UNKNOWN)
    }
}

impl From<&Value> for Literal {
    fn from(value: &Value) -> Self {
        Self(to_text(value))
    }
}

impl ToSql for Literal {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Parameters of a statement.
pub(super) fn literals(params: &[Value]) -> Vec<Literal> {
    params.iter().map(Literal::from).collect()
}

/// As a statement takes them.
pub(super) fn typed(literals: &[Literal]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    literals.iter().map(Literal::typed).collect()
}

/// A table's full name.
pub(super) fn quote_table(name: &TableName) -> String {
    format!("{}.{}", quote(&name.schema), quote(&name.name))
}
