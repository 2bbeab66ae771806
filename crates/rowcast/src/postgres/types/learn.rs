//! What the catalog says of types that are not built in.

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::Part;
use super::kind::{Field, Kind};

/// One row for each type: what it is made of. Only true arrays have `array_subscript_handler`.
const KINDS: &str = "\
select t.oid, t.typtype::text, t.typname::text, t.typbasetype, t.typrelid,
  case when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc then t.typelem else 0::oid end,
  coalesce((select e.typdelim from pg_catalog.pg_type e where e.oid = t.typelem), ',')::text,
  array(select a.attname::text from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum),
  array(select a.atttypid from pg_catalog.pg_attribute a
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped order by a.attnum)
from pg_catalog.pg_type t where t.oid = any($1)";

/// `format_type` leaves out a schema of the search path: which one that is must not matter.
const NAMES: &str = "\
select u.oid, u.typmod,
  case when s.nspname <> 'pg_catalog' and pg_catalog.pg_type_is_visible(n.oid)
    then pg_catalog.quote_ident(s.nspname) || '.' else '' end || pg_catalog.format_type(u.oid, u.typmod)
from unnest($1, $2) as u(oid, typmod)
join pg_catalog.pg_type t on t.oid = u.oid
join pg_catalog.pg_type n on n.oid = case
  when t.typsubscript = 'pg_catalog.array_subscript_handler'::regproc and t.typlen = -1 and t.typstorage <> 'p'
  then t.typelem else t.oid end
join pg_catalog.pg_namespace s on s.oid = n.typnamespace";

/// The wanted types and all that they are made of, except what `known` has.
pub(super) async fn kinds(
    client: &Client,
    wanted: AHashSet<u32>,
    known: impl Fn(u32) -> Option<Part>,
) -> Result<Vec<(u32, Part)>, Error> {
    let mut found: AHashMap<u32, Found> = AHashMap::new();
    let mut next: Vec<u32> = wanted.into_iter().collect();
    while !next.is_empty() {
        // What the catalog no longer has is text, and not asked for again.
        found.extend(next.iter().map(|oid| (*oid, Found::Plain)));
        for row in client.query_typed(KINDS, &[(&next, Type::OID_ARRAY)]).await? {
            found.insert(row.get(0), Found::read(&row));
        }
        let mut parts: Vec<u32> = next.iter().flat_map(|oid| found[oid].parts()).collect();
        parts.sort_unstable();
        parts.dedup();
        parts.retain(|oid| !found.contains_key(oid) && known(*oid).is_none());
        next = parts;
    }
    let mut done = AHashMap::new();
    for oid in found.keys() {
        resolve(*oid, &found, &known, &mut done);
    }
    Ok(done.into_iter().collect())
}

/// The types as declared.
pub(super) async fn names(client: &Client, types: &[(u32, i32)]) -> Result<Vec<((u32, i32), Box<str>)>, Error> {
    let (oids, typmods): (Vec<u32>, Vec<i32>) = types.iter().copied().unzip();
    let rows = client.query_typed(NAMES, &[(&oids, Type::OID_ARRAY), (&typmods, Type::INT4_ARRAY)]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get::<_, &str>(2).into())).collect())
}

/// A type by the types that it is made of.
enum Found {
    Plain,
    Hstore,
    Domain(u32),
    Array(u32, u8),
    Record(Vec<(Box<str>, u32)>),
}

impl Found {
    fn read(row: &Row) -> Self {
        let (class, name): (&str, &str) = (row.get(1), row.get(2));
        let (base, relation, element): (u32, u32, u32) = (row.get(3), row.get(4), row.get(5));
        match class {
            "d" => Found::Domain(base),
            "c" if relation != 0 => {
                let (names, types): (Vec<&str>, Vec<u32>) = (row.get(7), row.get(8));
                Found::Record(names.into_iter().map(Into::into).zip(types).collect())
            }
            "b" if element != 0 => Found::Array(element, row.get::<_, &str>(6).bytes().next().unwrap_or(b',')),
            "b" if name == "hstore" => Found::Hstore,
            _ => Found::Plain,
        }
    }

    fn parts(&self) -> Vec<u32> {
        match self {
            Found::Plain | Found::Hstore => Vec::new(),
            Found::Domain(part) | Found::Array(part, _) => vec![*part],
            Found::Record(fields) => fields.iter().map(|(_, part)| *part).collect(),
        }
    }
}

/// The server lets no type contain itself.
fn resolve(
    oid: u32,
    found: &AHashMap<u32, Found>,
    known: &impl Fn(u32) -> Option<Part>,
    done: &mut AHashMap<u32, Part>,
) -> Arc<Kind> {
    if let Some(part) = done.get(&oid) {
        return part.kind.clone();
    }
    let Some(this) = found.get(&oid) else {
        return known(oid).map_or_else(|| Arc::new(Kind::Text), |part| part.kind);
    };
    // Text for itself while it is put together, so that this ends whatever a catalog says.
    done.insert(oid, Part { kind: Arc::new(Kind::Text), of: this.parts().into() });
    let kind = match this {
        Found::Plain => Arc::new(Kind::Text),
        Found::Hstore => Arc::new(Kind::Hstore),
        Found::Domain(base) => resolve(*base, found, known, done),
        Found::Array(element, delimiter) => {
            Arc::new(Kind::Array { element: resolve(*element, found, known, done), delimiter: *delimiter })
        }
        Found::Record(fields) => {
            let field =
                |(name, oid): &(Box<str>, u32)| Field { name: name.clone(), kind: resolve(*oid, found, known, done) };
            Arc::new(Kind::Record(fields.iter().map(field).collect()))
        }
    };
    done.insert(oid, Part { kind: kind.clone(), of: this.parts().into() });
    kind
}
