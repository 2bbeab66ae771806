//! What a column's declared type means for comparisons.

/// A type, by how its values compare.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Kind {
    /// With the bytes that it has: 2, 4 or 8.
    Int(u8),
    Numeric {
        /// Whether every value is within the range of a double: PostgreSQL fails on one that is not.
        fits_double: bool,
    },
    Float4,
    Float8,
    Text,
    Varchar,
    /// With the length that its values are filled up to.
    Bpchar(Option<usize>),
    Bool,
    Date,
    Timestamp,
    TimestampTz,
    Time,
    Uuid,
    Bytea,
    Json,
    Jsonb,
    /// A type of the database's own: an enum, most likely. Its values are their text.
    Own(Box<str>),
    /// A type that is not compared, and what to do instead.
    Closed(Box<str>, &'static str),
}

impl Kind {
    /// Reads a type as `format_type` prints it.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.trim();
        if declared.ends_with("[]") {
            return Kind::Closed(declared.into(), "of arrays only IS NULL and IS NOT NULL can be asked");
        }
        let (name, arguments) = split(declared);
        let text_only = |hint| Kind::Closed(declared.into(), hint);
        match name.as_str() {
            "smallint" | "int2" => Kind::Int(2),
            "integer" | "int" | "int4" => Kind::Int(4),
            "bigint" | "int8" => Kind::Int(8),
            "numeric" | "decimal" => Kind::Numeric { fits_double: fits_double(&arguments) },
            "real" | "float4" => Kind::Float4,
            "double precision" | "float8" => Kind::Float8,
            "text" => Kind::Text,
            "character varying" | "varchar" => Kind::Varchar,
            "character" | "char" => {
                Kind::Bpchar(Some(arguments.first().map_or(1, |n| usize::try_from(*n).unwrap_or(1))))
            }
            "bpchar" => Kind::Bpchar(arguments.first().and_then(|n| usize::try_from(*n).ok())),
            "boolean" | "bool" => Kind::Bool,
            "date" => Kind::Date,
            "timestamp without time zone" | "timestamp" => Kind::Timestamp,
            "timestamp with time zone" | "timestamptz" => Kind::TimestampTz,
            "time without time zone" | "time" => Kind::Time,
            "uuid" => Kind::Uuid,
            "bytea" => Kind::Bytea,
            "json" => Kind::Json,
            "jsonb" => Kind::Jsonb,
            "time with time zone" | "timetz" => text_only("use a column of type `timestamp with time zone`"),
            "citext" => text_only("its order and equality are the locale's; use a column of type text"),
            "interval" => text_only("use a number of seconds in a column of type numeric or double precision"),
            name if NOT_COMPARED.contains(&name) || name.starts_with("interval") => {
                text_only("only IS NULL and IS NOT NULL can be asked; compare a column of another type")
            }
            _ => Kind::Own(declared.into()),
        }
    }

    /// What PostgreSQL calls it, without length and precision: a cast to those would cut a constant off.
    pub(super) fn name(&self) -> &str {
        match self {
            Kind::Int(2) => "smallint",
            Kind::Int(4) => "integer",
            Kind::Int(_) => "bigint",
            Kind::Numeric { .. } => "numeric",
            Kind::Float4 => "real",
            Kind::Float8 => "double precision",
            Kind::Text => "text",
            Kind::Varchar => "character varying",
            Kind::Bpchar(_) => "character",
            Kind::Bool => "boolean",
            Kind::Date => "date",
            Kind::Timestamp => "timestamp without time zone",
            Kind::TimestampTz => "timestamp with time zone",
            Kind::Time => "time without time zone",
            Kind::Uuid => "uuid",
            Kind::Bytea => "bytea",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
            Kind::Own(name) | Kind::Closed(name, _) => name,
        }
    }

    pub(super) fn is_text(&self) -> bool {
        matches!(self, Kind::Text | Kind::Varchar | Kind::Bpchar(_))
    }

    pub(super) fn is_moment(&self) -> bool {
        matches!(self, Kind::Date | Kind::Timestamp | Kind::TimestampTz)
    }
}

/// Built-in types whose comparison depends on more than the value, or that have none.
const NOT_COMPARED: [&str; 39] = [
    "\"char\"",
    "name",
    "money",
    "xml",
    "bit",
    "bit varying",
    "varbit",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "tsvector",
    "tsquery",
    "jsonpath",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "pg_lsn",
    "pg_snapshot",
    "txid_snapshot",
    "xid",
    "oid",
    "record",
];

/// `numeric(10,2)`, `timestamp(3) with time zone`: the name without the numbers, and the numbers.
fn split(declared: &str) -> (String, Vec<i64>) {
    let lower = |text: &str| if text.starts_with('"') { text.to_owned() } else { text.to_ascii_lowercase() };
    let Some((name, rest)) = declared.split_once('(') else { return (lower(declared), Vec::new()) };
    let Some((numbers, after)) = rest.split_once(')') else { return (lower(declared), Vec::new()) };
    let numbers: Option<Vec<i64>> = numbers.split(',').map(|n| n.trim().parse().ok()).collect();
    match numbers {
        Some(numbers) => (lower(&format!("{}{after}", name.trim_end())), numbers),
        None => (lower(declared), Vec::new()),
    }
}

/// A `numeric(p, s)` of at most 300 digits on both sides of the point.
fn fits_double(arguments: &[i64]) -> bool {
    match arguments {
        [precision] => *precision <= 300,
        [precision, scale] => precision - scale <= 300 && *scale <= 300,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_as_format_type_prints_them() {
        for (declared, kind) in [
            ("integer", Kind::Int(4)),
            ("numeric(10,2)", Kind::Numeric { fits_double: true }),
            ("numeric", Kind::Numeric { fits_double: false }),
            ("numeric(1000,0)", Kind::Numeric { fits_double: false }),
            ("character varying(20)", Kind::Varchar),
            ("character(5)", Kind::Bpchar(Some(5))),
            ("bpchar", Kind::Bpchar(None)),
            ("jsonb", Kind::Jsonb),
            ("timestamp(3) with time zone", Kind::TimestampTz),
            ("timestamp without time zone", Kind::Timestamp),
            ("public.mood", Kind::Own("public.mood".into())),
            ("\"Mood\"", Kind::Own("\"Mood\"".into())),
        ] {
            assert_eq!(Kind::of(declared), kind, "{declared}");
        }
        for declared in ["text[]", "\"char\"", "int4range", "interval day to second(3)", "bit(3)", "bit varying"] {
            assert!(matches!(Kind::of(declared), Kind::Closed(..)), "{declared}");
        }
    }
}
