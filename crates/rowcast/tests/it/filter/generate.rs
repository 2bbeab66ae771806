//! Random tables, rows, and filters in two spellings: as a filter, and as the plain SQL that means the same.

use super::pools::{BLOBS, CLAIMS, DOCUMENTS, INTS, LISTS, REALS, TEXTS};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rowcast::event::Value;
use serde_json::{Map, Value as Json, json};

pub(crate) const NAMES: [&str; 6] = ["c0", "odd name", "Größe", "select", "say \"hi\"", "c5"];

/// What stands in a column's declaration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared {
    pub(crate) declared: &'static str,
    collate: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) columns: Vec<Declared>,
    strict: bool,
}

impl Schema {
    pub(crate) fn of(declared: &[&'static str]) -> Self {
        let columns = declared.iter().map(|declared| Declared { declared, collate: false }).collect();
        Self { columns, strict: false }
    }

    pub(crate) fn create(&self) -> String {
        let columns: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .map(|(i, c)| {
                let collate = if c.collate { " COLLATE NOCASE" } else { "" };
                format!("{} {}{collate}", quoted(i), c.declared)
            })
            .collect();
        let indexes: String = (0..columns.len()).map(|i| format!("CREATE INDEX i{i} ON t({});", quoted(i))).collect();
        format!("CREATE TABLE t({}){};{indexes}", columns.join(", "), if self.strict { " STRICT" } else { "" })
    }

    pub(crate) fn insert(&self) -> String {
        format!("INSERT INTO t VALUES ({})", vec!["?"; self.columns.len()].join(", "))
    }
}

fn quoted(column: usize) -> String {
    format!("\"{}\"", NAMES[column].replace('"', "\"\""))
}

#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) schema: Schema,
    pub(crate) rows: Vec<Vec<Value>>,
    pub(crate) filters: Vec<Condition>,
}

pub(crate) fn claims() -> Map<String, Json> {
    let claims = json!({
        "sub": "abc", "n": 37, "big": 9_007_199_254_740_993_i64, "half": 0.5, "yes": true, "nil": null,
        "org": { "id": "ABC", "deep": { "n": "37" } }, "groups": ["abc", "37", 5], "none": [], "mixed": [1, "37", 2.5, null],
    });
    claims.as_object().expect("an object").clone()
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(TEXTS).prop_map(str::to_owned),
        3 => select(DOCUMENTS).prop_map(str::to_owned),
        1 => "[a-cA-C37_%é. \\\\-]{0,6}",
        1 => any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
        1 => any::<i64>().prop_map(|n| n.to_string()),
    ]
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![3 => select(REALS), 1 => any::<f64>().prop_filter("a number", |x| !x.is_nan()), 1 => (-4000i32..4000).prop_map(|n| f64::from(n) / 100.0)]
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![3 => select(INTS), 1 => any::<i64>(), 1 => -40i64..40]
}

fn blob() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => select(BLOBS).prop_map(<[u8]>::to_vec), 1 => vec(any::<u8>(), 0..5)]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Null),
        2 => int().prop_map(Value::Int),
        2 => real().prop_map(Value::Real),
        5 => text().prop_map(|text| Value::Text(text.into())),
        1 => blob().prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn schema() -> impl Strategy<Value = Schema> {
    let loose = [
        "INTEGER",
        "INT",
        "REAL",
        "TEXT",
        "BLOB",
        "",
        "NUMERIC",
        "VARCHAR(20)",
        "JSON",
        "DATETIME",
        "ANY",
        "BOOLEAN",
        "FLOATING POINT",
    ];
    let strict = ["INTEGER", "INT", "REAL", "TEXT", "BLOB", "ANY"];
    let columns = |types: Vec<&'static str>| {
        let column = (select(types), any::<bool>()).prop_map(|(declared, collate)| Declared { declared, collate });
        vec(column, NAMES.len())
    };
    prop_oneof![
        4 => columns(loose.to_vec()).prop_map(|columns| Schema { columns, strict: false }),
        1 => columns(strict.to_vec()).prop_map(|columns| Schema { columns, strict: true }),
    ]
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    (schema(), vec(vec(value(), NAMES.len()), 8), vec(condition(), 12)).prop_map(|(schema, rows, filters)| Case {
        schema,
        rows,
        filters,
    })
}

/// A value in a filter.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    /// The same in both spellings.
    Literal(String),
    Bool(bool),
    Column(usize),
    Json(usize, Vec<&'static str>, bool),
    Claim(usize),
}

#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Bare(Operand),
    Compare(Operand, &'static str, Operand),
    Distinct(bool, Operand, Operand),
    In(bool, Operand, Vec<Operand>),
    InClaims(usize, Operand, usize),
    Between(bool, Operand, Operand, Operand),
    Like(bool, bool, Operand, String, Option<char>),
    IsNull(bool, Operand),
    IsUnknown(bool, Box<Condition>),
    Is(bool, bool, Box<Condition>),
    Not(Box<Condition>),
    Join(bool, Vec<Condition>),
}

fn literal() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text().prop_filter("plain SQL ends at NUL", |text| !text.contains('\0')).prop_map(|text| literal_text(&text)),
        3 => int().prop_map(|n| n.to_string()),
        2 => real().prop_map(|x| if x.is_finite() { format!("{x:?}") } else { format!("{}9e999", if x < 0.0 { "-" } else { "" }) }),
        1 => blob().prop_map(|bytes| format!("x'{}'", bytes.iter().map(|b| format!("{b:02X}")).collect::<String>())),
        1 => select(vec!["NULL", "null", ".5", "5.", "1e3", "+5", "- 5", "0x25", "-0x1", "9223372036854775808", "-9223372036854775808", "1_000"]).prop_map(str::to_owned),
    ]
}

fn literal_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn operand() -> impl Strategy<Value = Operand> {
    let steps = select(vec![
        "'a'",
        "'b'",
        "'c'",
        "'d'",
        "0",
        "1",
        "-1",
        "-2",
        "'$.a'",
        "'$.b[1]'",
        "'$[0]'",
        "'$'",
        "'a b'",
        "'$.\"a b\"'",
        "'[1]'",
        "'$[#-1]'",
        "'0'",
        "'é'",
        "'$.\"\"'",
    ]);
    prop_oneof![
        4 => literal().prop_map(Operand::Literal),
        1 => any::<bool>().prop_map(Operand::Bool),
        6 => (0..NAMES.len()).prop_map(Operand::Column),
        3 => (0..NAMES.len(), vec(steps, 1..3), any::<bool>()).prop_map(|(c, s, sql)| Operand::Json(c, s, sql)),
        1 => (0..CLAIMS.len()).prop_map(Operand::Claim),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    let op = select(vec!["=", "==", "<>", "!=", "<", "<=", ">", ">="]);
    let pattern = prop_oneof![
        select(vec![
            "%",
            "_%",
            "a%",
            "%7%",
            "3_",
            "%.0",
            "%e+%",
            "1.0e%",
            "\\%",
            "%\\",
            "_",
            "",
            "%b_",
            "ÄRGER",
            "%\u{fffd}%",
            "a%%_b",
            "inf",
            "%\"a\"%"
        ])
        .prop_map(str::to_owned),
        "[abcAB37%_\\\\.é]{0,8}",
    ];
    let escape = proptest::option::of(select(vec!['\\', '%', '_', 'a', 'é']));
    let leaf = prop_oneof![
        2 => operand().prop_map(Condition::Bare),
        8 => (operand(), op, operand()).prop_map(|(a, op, b)| Condition::Compare(a, op, b)),
        2 => (any::<bool>(), operand(), operand()).prop_map(|(not, a, b)| Condition::Distinct(not, a, b)),
        3 => (any::<bool>(), operand(), vec(operand(), 0..4)).prop_map(|(not, a, list)| Condition::In(not, a, list)),
        2 => (any::<bool>(), operand(), vec(literal().prop_map(Operand::Literal), 0..20)).prop_map(|(not, a, list)| Condition::In(not, a, list)),
        1 => (0..5usize, operand(), 0..LISTS.len()).prop_map(|(form, a, list)| Condition::InClaims(form, a, list)),
        2 => (any::<bool>(), operand(), operand(), operand()).prop_map(|(not, a, b, c)| Condition::Between(not, a, b, c)),
        4 => (any::<bool>(), any::<bool>(), operand(), pattern, escape).prop_map(|(not, ilike, a, p, e)| Condition::Like(not, ilike, a, p, e)),
        1 => (any::<bool>(), operand()).prop_map(|(not, a)| Condition::IsNull(not, a)),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        let boxed = inner.clone().prop_map(Box::new);
        prop_oneof![
            1 => (any::<bool>(), boxed.clone()).prop_map(|(not, c)| Condition::IsUnknown(not, c)),
            1 => (any::<bool>(), any::<bool>(), boxed.clone()).prop_map(|(not, truth, c)| Condition::Is(not, truth, c)),
            2 => boxed.prop_map(Condition::Not),
            4 => (any::<bool>(), vec(inner, 2..5)).prop_map(|(or, terms)| Condition::Join(or, terms)),
        ]
    })
}

/// Which of the two spellings.
#[derive(Clone, Copy)]
enum Spelling<'s> {
    Filter,
    Sql(&'s Schema),
}

impl Condition {
    pub(crate) fn as_filter(&self, _: &Schema) -> String {
        self.spell(Spelling::Filter)
    }

    pub(crate) fn as_sql(&self, schema: &Schema) -> String {
        self.spell(Spelling::Sql(schema))
    }

    fn spell(&self, as_: Spelling<'_>) -> String {
        let not = |not: &bool| if *not { "NOT " } else { "" };
        match self {
            Condition::Bare(operand) => operand.spell(as_),
            Condition::Compare(a, op, b) => format!("{} {op} {}", a.spell(as_), b.spell(as_)),
            Condition::Distinct(n, a, b) => format!("{} IS {}DISTINCT FROM {}", a.spell(as_), not(n), b.spell(as_)),
            Condition::In(n, a, list) => {
                let list: Vec<_> = list.iter().map(|operand| operand.spell(as_)).collect();
                format!("{} {}IN ({})", a.spell(as_), not(n), list.join(", "))
            }
            Condition::InClaims(form, a, list) => in_claims(*form, &a.spell(as_), LISTS[*list], as_),
            Condition::Between(n, a, b, c) => {
                format!("{} {}BETWEEN {} AND {}", a.spell(as_), not(n), b.spell(as_), c.spell(as_))
            }
            Condition::Like(n, ilike, a, pattern, escape) => {
                let word = if *ilike && matches!(as_, Spelling::Filter) { "ilike" } else { "like" };
                let escape = escape.map(|c| format!(" escape '{c}'")).unwrap_or_default();
                format!("{} {}{word} {}{escape}", a.spell(as_), not(n), literal_text(pattern))
            }
            Condition::IsNull(n, a) => format!("{} IS {}NULL", a.spell(as_), not(n)),
            Condition::IsUnknown(n, c) => format!("{} IS {}NULL", c.spell_inside(as_), not(n)),
            Condition::Is(n, truth, c) => {
                format!("{} IS {}{}", c.spell_inside(as_), not(n), truth.to_string().to_uppercase())
            }
            Condition::Not(c) => format!("NOT {}", c.spell_inside(as_)),
            Condition::Join(or, terms) => {
                let terms: Vec<_> = terms.iter().map(|term| term.spell_term(*or, as_)).collect();
                terms.join(if *or { " OR " } else { "\n and " })
            }
        }
    }

    /// As what is denied or asked of: `NOT a = b` and `a = b IS TRUE` need no parentheses.
    fn spell_inside(&self, as_: Spelling<'_>) -> String {
        match self {
            Condition::Join(..) | Condition::Not(_) => format!("({})", self.spell(as_)),
            _ => self.spell(as_),
        }
    }

    /// Without parentheses where precedence gives the same.
    fn spell_term(&self, or: bool, as_: Spelling<'_>) -> String {
        match self {
            Condition::Join(true, _) if !or => format!("({})", self.spell(as_)),
            _ => self.spell(as_),
        }
    }
}

fn in_claims(form: usize, subject: &str, (name, list): (&str, &str), as_: Spelling<'_>) -> String {
    let negated = matches!(form, 1 | 3);
    match (as_, form) {
        (Spelling::Sql(_), _) => format!("{subject} {}IN {list}", if negated { "NOT " } else { "" }),
        (_, 0) => format!("{subject} IN claims.{name}"),
        (_, 1) => format!("{subject} NOT IN claims.{name}"),
        (_, 2) => format!("{subject} = any(claims.{name})"),
        (_, 3) => format!("{subject} <> ALL (claims.{name})"),
        (_, _) => format!("{subject} in (claims.{name})"),
    }
}

impl Operand {
    fn spell(&self, as_: Spelling<'_>) -> String {
        match (self, as_) {
            (Operand::Literal(text), _) => text.clone(),
            (Operand::Bool(truth), Spelling::Filter) => truth.to_string(),
            // `IS DISTINCT FROM TRUE` is a question of truth to SQLite, and one of value here.
            (Operand::Bool(truth), Spelling::Sql(_)) => u8::from(*truth).to_string(),
            (Operand::Column(i), Spelling::Filter) => quoted(*i),
            (Operand::Column(i), Spelling::Sql(schema)) => plain_column(*i, schema.columns[*i]),
            (Operand::Json(i, path, sql), Spelling::Filter) => arrows(&quoted(*i), path, *sql),
            (Operand::Json(i, path, sql), Spelling::Sql(_)) => {
                let column = quoted(*i);
                let element = arrows(&column, path, *sql);
                format!("(CASE WHEN typeof({column}) = 'text' AND json_valid({column}) THEN {element} END)")
            }
            (Operand::Claim(i), Spelling::Filter) => format!("claims.{}", CLAIMS[*i].0),
            (Operand::Claim(i), Spelling::Sql(_)) => CLAIMS[*i].1.to_owned(),
        }
    }
}

fn plain_column(column: usize, declared: Declared) -> String {
    match declared {
        Declared { declared: "ANY", .. } => format!("(+{} COLLATE BINARY)", quoted(column)),
        Declared { collate: true, .. } => format!("({} COLLATE BINARY)", quoted(column)),
        _ => quoted(column),
    }
}

fn arrows(column: &str, path: &[&str], as_sql: bool) -> String {
    let (last, first) = path.split_last().expect("a step");
    let first: String = first.iter().map(|step| format!(" -> {step}")).collect();
    format!("{column}{first} {} {last}", if as_sql { "->>" } else { "->" })
}
