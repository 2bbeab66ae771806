//! A record made into a row that can be written, or into the reason why not.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::batch::Waiting;
use super::write::Reject;
use crate::event::Table;
use crate::filter::Dialect;
use crate::ingest::coerce::{Coerce, Extra};
use crate::ingest::decode::{Field, Fields, Record};
use crate::ingest::guard;
use crate::ingest::once::RecordKey;
use crate::ingest::shape::Shape;

/// The longest key of a record that is kept as it is, in bytes; a longer one is kept by its hash.
const KEY_BYTES: usize = 200;

/// Makes a source's records into rows of its table.
#[derive(Debug)]
pub(in crate::ingest) struct Prepare {
    shape: Shape,
    key: Keying,
    coerce: Coerce,
    dialect: Dialect,
    guard: Option<guard::Bound>,
}

/// What tells records from each other.
#[derive(Debug, Clone)]
pub(in crate::ingest) enum Keying {
    /// As configured for the source.
    Record(RecordKey),
    /// The line in the body that this key names.
    Body(Arc<str>),
}

/// The field that does not do, where it is one, and why.
type Unfit = (Option<Box<str>>, String);

impl Prepare {
    pub(in crate::ingest) fn new(table: Arc<Table>, dialect: Dialect, shape: Shape, key: Keying) -> Self {
        let coerce = Coerce::new(table, dialect, shape.extra);
        Self { shape, key, coerce, dialect, guard: None }
    }

    /// The same for a sender who may not insert every row.
    pub(super) fn guarded(self, guard: Option<guard::Guard>) -> Self {
        let guard = guard.map(|guard| guard::Bound::new(guard, self.table()));
        Self { guard, ..self }
    }

    pub(super) fn table(&self) -> &Arc<Table> {
        self.coerce.table()
    }

    /// Goes on with the table as it is now.
    pub(super) fn rebind(&mut self, table: Arc<Table>) {
        if let Some(guard) = &mut self.guard {
            guard.rebind(&table);
        }
        self.coerce = Coerce::new(table, self.dialect, self.extra());
    }

    fn extra(&self) -> Extra {
        self.shape.extra
    }

    pub(in crate::ingest) fn row(&self, record: Record) -> Result<Waiting, Reject> {
        let Record { line, raw, place, fields } = record;
        let fields = match fields {
            Ok(fields) => fields,
            Err(error) => return Err(Reject { line, raw: raw.into(), column: None, reason: error.to_string() }),
        };
        let raw = readable(raw, &fields);
        let made = self.key(line, place.as_deref(), &fields).and_then(|key| {
            let fields = self.shape.apply(fields).map_err(|misfit| (misfit.column, misfit.reason))?;
            let cells = self.coerce.row(fields).map_err(|misfit| (misfit.column, misfit.reason))?;
            if let Some(guard) = &self.guard {
                guard.check(&cells).map_err(|reason| (None, reason))?;
            }
            Ok((key, cells))
        });
        match made {
            Ok((key, cells)) => Ok(Waiting { line, raw, key, cells }),
            Err((column, reason)) => Err(Reject { line, raw, column, reason }),
        }
    }

    fn key(&self, line: u64, place: Option<&str>, fields: &Fields) -> Result<Option<Arc<str>>, Unfit> {
        Ok(match &self.key {
            Keying::Record(RecordKey::None) => None,
            Keying::Record(RecordKey::Position) => place.map(|place| bounded(place.to_owned())),
            Keying::Record(RecordKey::Content) => Some(hash(fields.to_json().as_bytes())),
            Keying::Record(RecordKey::Fields(names)) => {
                let mut values = Vec::with_capacity(names.len());
                for name in names {
                    match fields.get(name) {
                        None | Some(Field::Null) => {
                            return Err((
                                Some(name.as_str().into()),
                                format!("{name}: is missing, but is the record's key"),
                            ));
                        }
                        Some(Field::Bool(b)) => values.push(b.to_string()),
                        Some(Field::Number(text) | Field::Text(text) | Field::Json(text)) => {
                            values.push(text.to_string())
                        }
                    }
                }
                Some(bounded(serde_json::Value::from(values).to_string()))
            }
            Keying::Body(name) => Some(format!("{name}:{line}").into()),
        })
    }
}

/// A line of CSV means nothing without the first one: it is kept as the object that it stands for.
fn readable(raw: Box<str>, fields: &Fields) -> Arc<str> {
    if raw.is_empty() || raw.trim_ascii_start().starts_with('{') { raw.into() } else { fields.to_json().into() }
}

fn bounded(key: String) -> Arc<str> {
    if key.len() <= KEY_BYTES { key.into() } else { hash(key.as_bytes()) }
}

/// SHA-256, in hexadecimal digits.
pub(in crate::ingest) fn hash(bytes: &[u8]) -> Arc<str> {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}
