//! Random tables, rows and filters. A filter has one spelling, which is plain SQL as well.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::pools::{FOUND, PATHS, PATTERNS, Pool, TYPES};

pub(crate) const NAMES: [&str; 6] = ["c0", "odd name", "Größe", "select", "say \"hi\"", "c5"];

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) types: Vec<Pool>,
}

impl Schema {
    pub(crate) fn create(&self) -> String {
        let columns: Vec<_> =
            self.types.iter().enumerate().map(|(i, (name, _))| format!("{} {name}", quoted(i))).collect();
        format!("DROP TABLE IF EXISTS t; CREATE TABLE t (n serial, {})", columns.join(", "))
    }

    /// A row of the types' values; `None` is NULL.
    pub(crate) fn insert(&self, row: &[Option<usize>]) -> String {
        let value = |(n, (_, values)): (&Option<usize>, &Pool)| {
            n.map_or_else(|| "NULL".to_owned(), |n| literal_text(values[n % values.len()]))
        };
        let values: Vec<_> = row.iter().zip(&self.types).map(value).collect();
        let columns: Vec<_> = (0..row.len()).map(quoted).collect();
        format!("INSERT INTO t ({}) VALUES ({})", columns.join(", "), values.join(", "))
    }

    /// The column itself if it is of one of these types; else the next one that is, or else itself.
    fn near(&self, column: usize, any_of: &[&str]) -> usize {
        (0..NAMES.len()).map(|n| (column + n) % NAMES.len()).find(|n| self.has_type(*n, any_of)).unwrap_or(column)
    }

    fn has_type(&self, column: usize, any_of: &[&str]) -> bool {
        any_of.contains(&self.types[column].0)
    }
}

fn quoted(column: usize) -> String {
    format!("\"{}\"", NAMES[column].replace('"', "\"\""))
}

fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) schema: Schema,
    pub(crate) rows: Vec<Vec<Option<usize>>>,
    pub(crate) filters: Vec<Condition>,
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let cell = prop_oneof![1 => Just(None), 6 => (0..1000usize).prop_map(Some)];
    let compared = TYPES.split_at(TYPES.len() - 4).0;
    let types = prop_oneof![12 => select(compared), 1 => select(TYPES)];
    (vec(types, NAMES.len()), vec(vec(cell, NAMES.len()), 8), vec(condition(), 12))
        .prop_map(|(types, rows, filters)| Case { schema: Schema { types }, rows, filters })
}

/// Types that are compared with each other.
const FAMILIES: &[&[&str]] = &[
    &["smallint", "integer", "bigint", "numeric", "numeric(10,2)", "real", "double precision"],
    &["text", "character varying(20)", "character(5)", "bpchar"],
    &["date", "timestamp without time zone", "timestamp(3) without time zone", "timestamp with time zone"],
    &["boolean"],
    &["time without time zone"],
    &["uuid"],
    &["bytea"],
];

/// A value of the type of the column that it is compared with, or of any type.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Own { n: usize, quoted: bool },
    Other { of: usize, n: usize, quoted: bool },
    Number(&'static str),
    Null,
    Column(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Bare(usize),
    /// With the column on the left, or on the right.
    Compare(bool, usize, &'static str, Operand),
    Distinct(bool, usize, Operand),
    In(bool, usize, Vec<Operand>),
    Between(bool, usize, Operand, Operand),
    Like(bool, bool, usize, &'static str),
    /// A path into jsonb, and what is asked of it.
    Path(usize, &'static str, &'static str, &'static str),
    IsNull(bool, usize),
    IsUnknown(bool, Box<Condition>),
    Is(bool, bool, Box<Condition>),
    Not(Box<Condition>),
    Join(bool, Vec<Condition>),
}

fn operand() -> impl Strategy<Value = Operand> {
    let numbers = [
        "0",
        "1",
        "5",
        "-1",
        "1.0",
        "0.1",
        "1.5",
        "1e3",
        "9223372036854775808",
        "2147483648",
        "0.10000000149011612",
        "16777217",
        "1e-400",
        "1e400",
    ];
    prop_oneof![
        12 => (0..1000usize, any::<bool>()).prop_map(|(n, quoted)| Operand::Own { n, quoted }),
        1 => (0..TYPES.len(), 0..1000usize, any::<bool>()).prop_map(|(of, n, quoted)| Operand::Other { of, n, quoted }),
        2 => select(numbers.to_vec()).prop_map(Operand::Number),
        1 => Just(Operand::Null),
        4 => (0..NAMES.len()).prop_map(Operand::Column),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = select(vec!["=", "<>", "!=", "<", "<=", ">", ">="]);
    let column = 0..NAMES.len();
    let leaf = prop_oneof![
        2 => column.clone().prop_map(Condition::Bare),
        16 => (any::<bool>(), column.clone(), op, operand()).prop_map(|(left, c, op, b)| Condition::Compare(left, c, op, b)),
        3 => (any::<bool>(), column.clone(), operand()).prop_map(|(not, c, b)| Condition::Distinct(not, c, b)),
        4 => (any::<bool>(), column.clone(), vec(operand(), 1..4)).prop_map(|(not, c, list)| Condition::In(not, c, list)),
        2 => (any::<bool>(), column.clone(), vec((0..1000usize).prop_map(|n| Operand::Own { n, quoted: true }), 9..20))
            .prop_map(|(not, c, list)| Condition::In(not, c, list)),
        3 => (any::<bool>(), column.clone(), operand(), operand()).prop_map(|(not, c, a, b)| Condition::Between(not, c, a, b)),
        5 => (any::<bool>(), any::<bool>(), column.clone(), select(PATTERNS)).prop_map(|(not, any, c, p)| Condition::Like(not, any, c, p)),
        4 => (column.clone(), select(PATHS), select(vec!["=", "<>", "<", ">=", "IN", "LIKE", "IS NULL", "IS DISTINCT FROM"]), select(FOUND))
            .prop_map(|(c, path, op, found)| Condition::Path(c, path, op, found)),
        2 => (any::<bool>(), column).prop_map(|(not, c)| Condition::IsNull(not, c)),
    ];
    leaf.prop_recursive(3, 6, 3, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            1 => (any::<bool>(), boxed.clone()).prop_map(|(not, c)| Condition::IsUnknown(not, c)),
            1 => (any::<bool>(), any::<bool>(), boxed.clone()).prop_map(|(not, truth, c)| Condition::Is(not, truth, c)),
            2 => boxed.prop_map(Condition::Not),
            3 => (any::<bool>(), vec(inner, 2..4)).prop_map(|(or, terms)| Condition::Join(or, terms)),
        ]
    })
}

impl Operand {
    fn spell(&self, schema: &Schema, subject: Pool) -> String {
        let spell = |(name, values): Pool, n: usize, quoted: bool| {
            let text = values[n % values.len()];
            let is_number =
                text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit()) && text.parse::<f64>().is_ok();
            match name {
                "boolean" if !quoted => if n.is_multiple_of(2) { "TRUE" } else { "false" }.to_owned(),
                "text" | "uuid" => literal_text(text),
                _ if !quoted && is_number => text.to_owned(),
                _ => literal_text(text),
            }
        };
        match self {
            Operand::Own { n, quoted } => spell(subject, *n, *quoted),
            Operand::Other { of, n, quoted } => spell(TYPES[*of], *n, *quoted),
            Operand::Number(digits) => (*digits).to_owned(),
            Operand::Null => "NULL".to_owned(),
            Operand::Column(column) => quoted(
                schema
                    .near(*column, FAMILIES.iter().find(|family| family.contains(&subject.0)).unwrap_or(&FAMILIES[0])),
            ),
        }
    }
}

impl Condition {
    pub(crate) fn spell(&self, schema: &Schema) -> String {
        let not = |not: &bool| if *not { "NOT " } else { "" };
        let value = |column: &usize, operand: &Operand| operand.spell(schema, schema.types[*column]);
        match self {
            Condition::Bare(c) => match schema.near(*c, &["boolean"]) {
                c if schema.has_type(c, &["boolean"]) => quoted(c),
                c => format!("{} IS NOT NULL", quoted(c)),
            },
            Condition::Compare(true, c, op, b) => format!("{} {op} {}", quoted(*c), value(c, b)),
            Condition::Compare(false, c, op, b) => format!("{} {op} {}", value(c, b), quoted(*c)),
            Condition::Distinct(n, c, b) => format!("{} IS {}DISTINCT FROM {}", quoted(*c), not(n), value(c, b)),
            Condition::In(n, c, list) => {
                let list: Vec<_> = list.iter().map(|operand| value(c, operand)).collect();
                format!("{} {}IN ({})", quoted(*c), not(n), list.join(", "))
            }
            Condition::Between(n, c, a, b) => {
                format!("{} {}BETWEEN {} AND {}", quoted(*c), not(n), value(c, a), value(c, b))
            }
            Condition::Like(n, any_case, c, pattern) => {
                let word = if *any_case { "ILIKE" } else { "LIKE" };
                let c = schema.near(*c, &["text", "character varying(20)", "character(5)", "bpchar"]);
                format!("{} {}{word} {}", quoted(c), not(n), literal_text(pattern))
            }
            Condition::Path(c, path, op, found) => {
                let c = schema.near(*c, &["jsonb"]);
                let found = literal_text(found);
                match *op {
                    "IS NULL" => format!("({} {path}) IS NULL", quoted(c)),
                    "IN" => format!("{} {path} IN ('move', {found})", quoted(c)),
                    "IS DISTINCT FROM" => format!("({} {path}) IS DISTINCT FROM {found}", quoted(c)),
                    op => format!("{} {path} {op} {found}", quoted(c)),
                }
            }
            Condition::IsNull(n, c) => format!("{} IS {}NULL", quoted(*c), not(n)),
            Condition::IsUnknown(n, c) => format!("({}) IS {}NULL", c.spell(schema), not(n)),
            Condition::Is(n, truth, c) => {
                format!("({}) IS {}{}", c.spell(schema), not(n), truth.to_string().to_uppercase())
            }
            Condition::Not(c) => format!("NOT ({})", c.spell(schema)),
            Condition::Join(or, terms) => {
                let terms: Vec<_> = terms.iter().map(|term| format!("({})", term.spell(schema))).collect();
                terms.join(if *or { " OR " } else { " AND " })
            }
        }
    }

    /// Whether PostgreSQL understands the text as it stands, and as we do: it refuses labels that an enum does not have,
    /// gives all elements of a list one type, and knows more NULLs among composites and fewer among documents.
    pub(crate) fn is_plain(&self, schema: &Schema) -> bool {
        let own = ["mood", "age", "pair", "json", "jsonb"];
        match self {
            Condition::Compare(_, c, _, _) | Condition::Distinct(_, c, _) | Condition::Between(_, c, _, _) => {
                !schema.has_type(*c, &own)
            }
            Condition::In(_, c, list) => {
                let is_own = |operand: &Operand| matches!(operand, Operand::Own { quoted: true, .. } | Operand::Null);
                !schema.has_type(*c, &own) && (list.len() == 1 || list.iter().all(is_own))
            }
            Condition::IsNull(_, c) => !schema.has_type(*c, &own),
            Condition::Bare(c) => !schema.has_type(*c, &own),
            Condition::Like(..) | Condition::Path(..) => true,
            Condition::IsUnknown(_, c) | Condition::Is(_, _, c) | Condition::Not(c) => c.is_plain(schema),
            Condition::Join(_, terms) => terms.iter().all(|term| term.is_plain(schema)),
        }
    }
}
