//! Random tables, rows and filters.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::pools::{FOUND, MARIADB_ONLY, PATHS, PATTERNS, Pool, TEXTS, TYPES};

pub(crate) const NAMES: [&str; 6] = ["c0", "odd name", "Größe", "select", "say `hi`", "c5"];

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) types: Vec<Pool>,
}

impl Schema {
    pub(crate) fn create(&self) -> String {
        let columns: Vec<_> =
            self.types.iter().enumerate().map(|(i, pool)| format!("{} {}", quoted(i), pool.created)).collect();
        let keys = self.types.iter().enumerate().filter(|(_, pool)| !pool.key.is_empty());
        let keys: String = keys.map(|(i, pool)| format!(", KEY {}", pool.key.replace('c', &quoted(i)))).collect();
        format!("CREATE TABLE t (n int auto_increment primary key, {}{keys}) character set utf8mb4", columns.join(", "))
    }

    /// A row of the types' values; `None` is NULL, where that may be.
    pub(crate) fn insert(&self, row: &[Option<usize>]) -> String {
        let value = |(n, pool): (&Option<usize>, &Pool)| match n.or(pool.created.ends_with("not null").then_some(0)) {
            Some(n) if !pool.values.is_empty() => literal(pool.values[n % pool.values.len()]),
            _ => "NULL".to_owned(),
        };
        let values: Vec<_> = row.iter().zip(&self.types).map(value).collect();
        let columns: Vec<_> = (0..row.len()).map(quoted).collect();
        format!("INSERT INTO t ({}) VALUES ({})", columns.join(", "), values.join(", "))
    }

    /// The column itself if it is of one of these types; else the next one that is, or else itself.
    fn near(&self, column: usize, any_of: &[&str]) -> usize {
        (0..NAMES.len()).map(|n| (column + n) % NAMES.len()).find(|n| self.has_type(*n, any_of)).unwrap_or(column)
    }

    /// By the type's name, without its numbers.
    fn has_type(&self, column: usize, any_of: &[&str]) -> bool {
        any_of.contains(&base(&self.types[column]))
    }
}

fn base(pool: &Pool) -> &'static str {
    pool.declared.split(['(', ' ']).next().unwrap_or_default()
}

pub(crate) fn quoted(column: usize) -> String {
    format!("`{}`", NAMES[column].replace('`', "``"))
}

/// For the server.
fn literal(text: &str) -> String {
    match text.starts_with("b'") || text.starts_with("x'") {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''").replace('\0', "\\0")),
    }
}

/// For a filter.
fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) schema: Schema,
    pub(crate) rows: Vec<Vec<Option<usize>>>,
    pub(crate) filters: Vec<Condition>,
}

pub(crate) fn case(is_mariadb: bool) -> impl Strategy<Value = Case> {
    let cell = prop_oneof![1 => Just(None), 6 => (0..1000usize).prop_map(Some)];
    let types = &TYPES[..TYPES.len() - if is_mariadb { 0 } else { MARIADB_ONLY }];
    (vec(select(types), NAMES.len()), vec(vec(cell, NAMES.len()), 8), vec(condition(), 12))
        .prop_map(|(types, rows, filters)| Case { schema: Schema { types }, rows, filters })
}

/// Types that are compared with each other.
const FAMILIES: &[&[&str]] = &[
    &["tinyint", "smallint", "mediumint", "int", "bigint", "year", "decimal", "float", "double", "bit"],
    &["varchar", "char", "text", "longtext", "enum", "set"],
    &["date", "datetime"],
    &["timestamp"],
    &["time"],
    &["binary", "varbinary", "blob"],
    &["uuid"],
    &["inet6"],
    &["inet4"],
];

/// A value of the type of the column that it is compared with, or of any type.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Own {
        n: usize,
        quoted: bool,
    },
    Other {
        of: usize,
        n: usize,
        quoted: bool,
    },
    Number(&'static str),
    /// For a text, whatever its column can hold.
    Text(usize),
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
        "1e40",
        "TRUE",
        "false",
        "-9223372036854775809",
        "12345678901234567890123456789.25",
        "26",
        "2026",
    ];
    prop_oneof![
        12 => (0..1000usize, any::<bool>()).prop_map(|(n, quoted)| Operand::Own { n, quoted }),
        1 => (0..TYPES.len(), 0..1000usize, any::<bool>()).prop_map(|(of, n, quoted)| Operand::Other { of, n, quoted }),
        2 => select(numbers.to_vec()).prop_map(Operand::Number),
        2 => (0..TEXTS.len()).prop_map(Operand::Text),
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
    fn spell(&self, schema: &Schema, subject: &Pool) -> String {
        let spell = |pool: &Pool, n: usize, quoted: bool| {
            let Some(text) = (!pool.values.is_empty()).then(|| pool.values[n % pool.values.len()]) else {
                return "NULL".to_owned();
            };
            let is_number = FAMILIES[0].contains(&base(pool)) && quoted != n.is_multiple_of(16);
            match text.strip_prefix("b'") {
                Some(bits) => u64::from_str_radix(bits.trim_end_matches('\''), 2).expect("bits").to_string(),
                None if is_number || text.starts_with("x'") => text.to_owned(),
                None => literal_text(text),
            }
        };
        match self {
            Operand::Own { n, quoted } => spell(subject, *n, *quoted),
            Operand::Other { of, n, quoted } => spell(&TYPES[*of], *n, *quoted),
            Operand::Number(digits) => (*digits).to_owned(),
            Operand::Text(n) if FAMILIES[1].contains(&base(subject)) => literal_text(TEXTS[*n]),
            Operand::Text(n) => spell(subject, *n, true),
            Operand::Null => "NULL".to_owned(),
            Operand::Column(column) => {
                quoted(schema.near(
                    *column,
                    FAMILIES.iter().find(|family| family.contains(&base(subject))).unwrap_or(&FAMILIES[0]),
                ))
            }
        }
    }
}

impl Condition {
    pub(crate) fn spell(&self, schema: &Schema) -> String {
        let not = |not: &bool| if *not { "NOT " } else { "" };
        let value = |column: &usize, operand: &Operand| operand.spell(schema, &schema.types[*column]);
        match self {
            Condition::Bare(c) => match schema.near(*c, &["tinyint", "int", "bit"]) {
                c if schema.has_type(c, &["tinyint", "int", "bit"]) => quoted(c),
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
                let c = schema.near(*c, FAMILIES[1]);
                format!("{} {}{word} {}", quoted(c), not(n), literal_text(pattern))
            }
            Condition::Path(c, path, op, found) => {
                let c = schema.near(*c, &["json"]);
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
}
