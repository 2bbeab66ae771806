//! How the tables look: names and types for what the binlog has as numbers.
//!
//! With `binlog_row_metadata=FULL` the binlog says so itself, and the catalog only refines it. With less the tables' known shapes
//! are laid against the binlog's types, and what does not fit is not guessed.

use std::sync::Arc;

use ahash::AHashMap;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Row};

use super::charset::{Charset, Charsets};
use super::map::{Full, Map};
use super::value::{Cell, Wire, code};
use crate::event::{Column, Table, TableName};
use crate::mysql::catalog::{self, Described};
use crate::mysql::{Kind, MysqlSettings, Server};

/// A table as the rows of one event have it.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) table: Arc<Table>,
    /// One for each column in the binlog.
    pub(super) cells: Vec<Cell>,
    /// Columns in the binlog that nobody sees: what an index over an expression needs.
    hidden: Vec<usize>,
    /// Whether a new row may come without the column, by its place in the table: it is computed.
    pub(super) may_lack: Vec<bool>,
}

impl Shape {
    #[inline]
    pub(super) fn shown(&self, column: usize) -> bool {
        self.hidden.is_empty() || !self.hidden.contains(&column)
    }
}

/// A table as the catalog had it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub(super) table: Arc<Table>,
    pub(super) charsets: Vec<Option<Box<str>>>,
    pub(super) computed: Vec<bool>,
}

/// What is known of the tables.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) known: AHashMap<Box<str>, Known>,
    charsets: Charsets,
}

/// Numbers and names of the collations: where a server lists both.
const COLLATIONS: &str = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
const APPLICABLE: &str = "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATION_CHARACTER_SET_APPLICABILITY \
                          WHERE ID IS NOT NULL";

impl Tables {
    /// Asks the catalog.
    pub(super) async fn load(&mut self, conn: &mut Conn, settings: &MysqlSettings) -> Result<(), Error> {
        if self.charsets.collations.is_empty() {
            let mut rows: Vec<(u64, String)> = conn.query(COLLATIONS).await?;
            if Server::of(conn).await?.is_mariadb() {
                // Older ones have no such column.
                rows.extend(conn.query::<(u64, String), _>(APPLICABLE).await.unwrap_or_default());
            }
            let named = rows.into_iter().filter_map(|(id, name)| Some((u16::try_from(id).ok()?, name.into())));
            self.charsets.collations = named.collect();
        }
        let described = catalog::describe(conn).await?;
        let wanted = described.iter().filter(|described| follows(settings, &described.table.name.name));
        self.known = wanted.map(|described| (described.table.name.name.clone(), known(described))).collect();
        for name in self.known.values().flat_map(|known| known.charsets.iter().flatten()) {
            if Charset::named(name).is_none() && !self.charsets.asked.contains_key(name) {
                let map = ask(conn, name).await?;
                self.charsets.asked.insert(name.clone(), map);
            }
        }
        Ok(())
    }

    /// Their names.
    pub(super) fn names(&self) -> Vec<TableName> {
        let mut names: Vec<_> = self.known.values().map(|known| known.table.name.clone()).collect();
        names.sort();
        names
    }

    /// How the rows of this map are to be read; `None`: what is known does not fit.
    pub(super) fn shape(&self, map: &Map) -> Option<Shape> {
        let known = self.known.get(&map.table).and_then(|known| self.of_known(known, map));
        known.or_else(|| self.of_full(map, map.full.as_ref()?))
    }

    fn of_known(&self, known: &Known, map: &Map) -> Option<Shape> {
        let columns = &known.table.columns;
        let hidden = hidden(map, columns.len());
        if map.wires.len() - hidden.len() != columns.len() {
            return None;
        }
        let mut cells = Vec::with_capacity(map.wires.len());
        let mut next = 0;
        for (at, wire) in map.wires.iter().enumerate() {
            if hidden.contains(&at) {
                cells.push(self.cell_of_full(*wire, map.full.as_ref()?, at)?.0);
                continue;
            }
            let (column, charset) = (&columns[next], &known.charsets[next]);
            next += 1;
            let kind = Kind::of(&column.declared);
            let mut charset = charset.as_ref().map_or(Charset::Utf8, |name| self.charsets.named(name));
            if let Some(full) = &map.full {
                if full.names[at] != column.name || !same_in_full(&kind, &column.declared, full, at, *wire) {
                    return None;
                }
                if let Some(told) = full.collations[at].and_then(|number| self.charsets.of_collation(number)) {
                    charset = told;
                }
                if let Kind::Enum(names) | Kind::Set(names) = &kind {
                    let labels = full.labels[at].iter().map(|label| charset.text(label));
                    if !full.labels[at].is_empty() && !labels.eq(names.iter().map(|name| &**name)) {
                        return None;
                    }
                }
            }
            cells.push(Cell::new(*wire, &kind, &column.declared, &charset)?);
        }
        Some(Shape { table: known.table.clone(), cells, hidden, may_lack: known.computed.clone() })
    }

    fn of_full(&self, map: &Map, full: &Full) -> Option<Shape> {
        let hidden = hidden(map, usize::MAX);
        let (mut cells, mut columns) = (Vec::new(), Vec::new());
        for (at, wire) in map.wires.iter().enumerate() {
            let (cell, declared) = self.cell_of_full(*wire, full, at)?;
            cells.push(cell);
            if !hidden.contains(&at) {
                columns.push(Column { name: full.names[at].clone(), declared: declared.into() });
            }
        }
        let before = |column: usize| hidden.iter().filter(|at| **at < column).count();
        let key = full.key.iter().map(|column| column - before(*column)).collect();
        let may_lack = vec![false; columns.len()];
        let table = Arc::new(Table { name: TableName::bare(&map.table), columns, key });
        Some(Shape { table, cells, hidden, may_lack })
    }

    /// A column by what the binlog alone says.
    fn cell_of_full(&self, wire: Wire, full: &Full, at: usize) -> Option<(Cell, String)> {
        let charset = full.collations[at].and_then(|number| self.charsets.of_collation(number));
        let width =
            match full.collations[at].and_then(|number| self.charsets.collations.get(&u16::try_from(number).ok()?)) {
                Some(name) if charset.is_some() => widest(name),
                _ => 1,
            };
        let labels = |charset: &Charset| {
            let quoted = full.labels[at].iter().map(|label| format!("'{}'", charset.text(label).replace('\'', "''")));
            quoted.collect::<Vec<_>>().join(",")
        };
        let declared =
            declared(wire, full, at, charset.is_some(), width, labels(charset.as_ref().unwrap_or(&Charset::Utf8)))?;
        let cell = Cell::new(wire, &Kind::of(&declared), &declared, charset.as_ref().unwrap_or(&Charset::Utf8))?;
        Some((cell, declared))
    }
}

/// Whether changes of a table of this name are told.
pub(super) fn follows(settings: &MysqlSettings, name: &str) -> bool {
    !name.starts_with(catalog::OWN) && settings.wants(&TableName::bare(name))
}

fn known(described: &Arc<Described>) -> Known {
    Known {
        table: described.table.clone(),
        charsets: described.columns.iter().map(|column| column.charset.clone()).collect(),
        computed: described.columns.iter().map(|column| column.generated).collect(),
    }
}

/// What each byte of a character set stands for.
async fn ask(conn: &mut Conn, charset: &str) -> Result<Arc<[char; 256]>, Error> {
    let each = (0..=255).map(|byte| format!("CONVERT(_{charset} x'{byte:02x}' USING utf8mb4)"));
    let row: Option<Row> = conn.query_first(format!("SELECT {}", each.collect::<Vec<_>>().join(","))).await?;
    let mut map = ['\u{fffd}'; 256];
    if let Some(row) = row {
        for (at, place) in map.iter_mut().enumerate() {
            let text: Option<String> = row.get_opt(at).and_then(Result::ok);
            *place = text.and_then(|text| text.chars().next()).unwrap_or('\u{fffd}');
        }
    }
    Ok(Arc::new(map))
}

/// Columns that MySQL makes for an index over an expression.
fn hidden(map: &Map, shown: usize) -> Vec<usize> {
    let Some(full) = &map.full else { return Vec::new() };
    if map.wires.len() == shown {
        return Vec::new();
    }
    let names = full.names.iter().enumerate();
    names.filter(|(_, name)| name.starts_with("!hidden!")).map(|(at, _)| at).collect()
}

fn same_in_full(kind: &Kind, declared: &str, full: &Full, at: usize, wire: Wire) -> bool {
    match kind {
        Kind::Int { unsigned, .. } => *unsigned == full.unsigned[at],
        Kind::Text => full.collations[at].is_none_or(|number| number != u64::from(super::charset::BINARY)),
        Kind::Bytes if wire.code == code::GEOMETRY => declared == geometry(full.geometries[at]),
        Kind::Bytes => full.collations[at].is_none_or(|number| number == u64::from(super::charset::BINARY)),
        _ => true,
    }
}

/// The declared type that a column has by what the binlog alone says.
fn declared(wire: Wire, full: &Full, at: usize, text: bool, width: u16, labels: String) -> Option<String> {
    let Wire { code, meta } = wire;
    let fraction = |name: &str| if meta == 0 { name.to_owned() } else { format!("{name}({meta})") };
    let sized = |chars: &str, bytes: &str| {
        if text { format!("{chars}({})", meta / width.max(1)) } else { format!("{bytes}({meta})") }
    };
    let name = match code {
        code::TINY => "tinyint".into(),
        code::SHORT => "smallint".into(),
        code::INT24 => "mediumint".into(),
        code::LONG => "int".into(),
        code::LONGLONG => "bigint".into(),
        code::FLOAT => "float".into(),
        code::DOUBLE => "double".into(),
        code::NEWDECIMAL => format!("decimal({},{})", meta & 255, meta >> 8),
        code::YEAR => "year".into(),
        code::DATE | code::NEWDATE => "date".into(),
        code::TIME2 => fraction("time"),
        code::DATETIME2 => fraction("datetime"),
        code::TIMESTAMP2 => fraction("timestamp"),
        code::TIME => "time".into(),
        code::DATETIME => "datetime".into(),
        code::TIMESTAMP => "timestamp".into(),
        code::BIT => format!("bit({})", (meta >> 8) * 8 + (meta & 255)),
        code::VARCHAR | code::VAR_STRING | code::VARCHAR_COMPRESSED => sized("varchar", "varbinary"),
        code::STRING => sized("char", "binary"),
        code::TINY_BLOB..=code::BLOB | code::BLOB_COMPRESSED => {
            let size = ["tiny", "", "medium", "long"].get(usize::from(meta).checked_sub(1)?)?;
            format!("{size}{}", if text { "text" } else { "blob" })
        }
        code::JSON => "json".into(),
        code::VECTOR => format!("vector({})", full.dimensions[at]),
        code::GEOMETRY => geometry(full.geometries[at]).into(),
        code::ENUM => format!("enum({labels})"),
        code::SET => format!("set({labels})"),
        _ => return None,
    };
    Some(if full.unsigned[at] && code != code::YEAR { format!("{name} unsigned") } else { name })
}

fn geometry(number: u64) -> &'static str {
    match number {
        1 => "point",
        2 => "linestring",
        3 => "polygon",
        4 => "multipoint",
        5 => "multilinestring",
        6 => "multipolygon",
        7 => "geometrycollection",
        _ => "geometry",
    }
}

/// Bytes of the widest character.
fn widest(charset: &str) -> u16 {
    match charset {
        "utf8mb4" | "utf16" | "utf16le" | "utf32" | "gb18030" => 4,
        "utf8mb3" | "utf8" | "ujis" | "eucjpms" => 3,
        "ucs2" | "sjis" | "cp932" | "gbk" | "gb2312" | "big5" | "euckr" => 2,
        _ => 1,
    }
}
