//! PostgreSQL's types: which there are, and their values as events have them.
//!
//! Three ways lead to a value: what the stream of changes says, what `row_to_json` prints, and what a query reads as text. All
//! three give equal values, and `to_jsonb` is the norm for how they look.

mod array;
mod builtin;
mod hstore;
mod kind;
mod learn;
mod record;
mod scalar;
mod write;

use std::sync::Arc;

use ahash::{AHashMap, AHashSet};
use parking_lot::RwLock;
use tokio_postgres::Client;

pub use self::kind::{Field, Kind};
pub use self::write::to_text;

/// What is known of a database's types, shared by its source and its store.
///
/// Built-in types are known from the start; others are asked for once, and again after [`forget`](Types::forget). What was
/// forgotten holds until it is learned anew, so that nobody who reads values meanwhile loses a type.
#[derive(Debug, Default)]
pub struct Types {
    learned: RwLock<Learned>,
}

#[derive(Debug, Default)]
struct Learned {
    kinds: AHashMap<u32, Kept<Part>>,
    declared: AHashMap<(u32, i32), Kept<Box<str>>>,
}

/// A type that was learned, and the types that it is made of.
#[derive(Debug, Clone)]
struct Part {
    kind: Arc<Kind>,
    of: Box<[u32]>,
}

/// What was learned, and whether it may no longer be so.
#[derive(Debug)]
struct Kept<T> {
    was: T,
    stale: bool,
}

impl<T> Kept<T> {
    fn new(was: T) -> Self {
        Self { was, stale: false }
    }
}

impl Types {
    /// Knows the built-in types.
    pub fn new() -> Self {
        Self::default()
    }

    /// How values of a type are read. Values of an unknown one are text.
    pub fn get(&self, oid: u32) -> Arc<Kind> {
        if let Some(kind) = builtin::kind(oid) {
            return Arc::new(kind);
        }
        self.learned.read().kinds.get(&oid).map_or_else(|| Arc::new(Kind::Text), |part| part.was.kind.clone())
    }

    /// Whether [`get`](Types::get) is no guess.
    pub fn is_known(&self, oid: u32) -> bool {
        builtin::kind(oid).is_some() || self.learned.read().kinds.get(&oid).is_some_and(|part| !part.stale)
    }

    /// The type with its modifier as `format_type` prints it, with a schema unless it is PostgreSQL's own: `numeric(10,2)`,
    /// `public.mood[]`. Empty where it was not learned.
    pub fn declared(&self, oid: u32, typmod: i32) -> Box<str> {
        if let Some(name) = builtin::declared(oid, typmod) {
            return name;
        }
        self.learned.read().declared.get(&(oid, typmod)).map_or_else(Box::default, |name| name.was.clone())
    }

    /// Asks the database for what is not known of these types and their modifiers. No query where all is known.
    pub async fn learn(&self, client: &Client, types: &[(u32, i32)]) -> Result<(), tokio_postgres::Error> {
        let names: Vec<_> = types.iter().copied().filter(|&(oid, typmod)| !self.is_declared(oid, typmod)).collect();
        let kinds: AHashSet<u32> = types.iter().map(|(oid, _)| *oid).filter(|oid| !self.is_known(*oid)).collect();
        if !kinds.is_empty() {
            let found = learn::kinds(client, kinds, |oid| self.part(oid)).await?;
            self.learned.write().kinds.extend(found.into_iter().map(|(oid, part)| (oid, Kept::new(part))));
        }
        if !names.is_empty() {
            let found = learn::names(client, &names).await?;
            self.learned.write().declared.extend(found.into_iter().map(|(pair, name)| (pair, Kept::new(name))));
        }
        Ok(())
    }

    /// A type was changed: it, and what is made of it, is learned anew when next asked for.
    pub fn forget(&self, oid: u32) {
        let mut learned = self.learned.write();
        let Learned { kinds, declared } = &mut *learned;
        let mut changed = vec![oid];
        while let Some(oid) = changed.pop() {
            if let Some(part) = kinds.get_mut(&oid) {
                part.stale = true;
            }
            declared.iter_mut().filter(|((other, _), _)| *other == oid).for_each(|(_, name)| name.stale = true);
            let made_of_it = |(_, part): &(&u32, &Kept<Part>)| !part.stale && part.was.of.contains(&oid);
            changed.extend(kinds.iter().filter(made_of_it).map(|(other, _)| *other));
        }
    }

    /// Anything may have been changed.
    pub fn forget_all(&self) {
        let mut learned = self.learned.write();
        learned.kinds.values_mut().for_each(|part| part.stale = true);
        learned.declared.values_mut().for_each(|name| name.stale = true);
    }

    fn is_declared(&self, oid: u32, typmod: i32) -> bool {
        builtin::declared(oid, typmod).is_some() || self.is_learned(oid, typmod)
    }

    fn is_learned(&self, oid: u32, typmod: i32) -> bool {
        self.learned.read().declared.get(&(oid, typmod)).is_some_and(|name| !name.stale)
    }

    fn part(&self, oid: u32) -> Option<Part> {
        let kind = |kind| Part { kind: Arc::new(kind), of: Box::default() };
        let learned = || self.learned.read().kinds.get(&oid).filter(|part| !part.stale).map(|part| part.was.clone());
        builtin::kind(oid).map(kind).or_else(learned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_of_a_forgotten_type_is_forgotten_with_it() {
        let types = Types::new();
        let part = |of: &[u32]| Kept::new(Part { kind: Arc::new(Kind::Hstore), of: of.into() });
        let chain = [(70_001, part(&[])), (70_002, part(&[70_001])), (70_003, part(&[70_002])), (70_004, part(&[]))];
        types.learned.write().kinds.extend(chain);
        types.forget(70_001);
        assert_eq!([70_001, 70_002, 70_003, 70_004].map(|oid| types.is_known(oid)), [false, false, false, true]);
        assert_eq!(*types.get(70_003), Kind::Hstore, "it holds until it is learned anew");
        assert!(types.is_known(23), "built-in types stay known");
    }
}
