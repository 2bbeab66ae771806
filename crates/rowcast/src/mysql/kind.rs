//! The types of MySQL and MariaDB, and how their values are told.
//!
//! A column's declared type ([`Column::declared`](crate::event::Column::declared)) is in normal form, whether it was read from
//! the catalog or from the binlog: lower case, without display width, character set, collation or zerofill. Everything
//! that has to know a type reads it from there with [`Kind::of`].

/// The type of a column.
///
/// | kind | declared | value |
/// |---|---|---|
/// | `Int` | `tinyint`, `smallint`, `mediumint`, `int`, `bigint`, each with ` unsigned`; `year` | `Int`; `Number` beyond `i64` |
/// | `Decimal` | `decimal(10,2)`, ` unsigned` | `Number`, the digits as the server prints them |
/// | `Float` | `float`, `double`, ` unsigned` | `Real` |
/// | `Bit` | `bit(n)` | `Number`/`Int`: the bits as an unsigned integer |
/// | `Text` | `char(n)`, `varchar(n)`, `tinytext`, `text`, `mediumtext`, `longtext` | `Text`, in UTF-8 whatever the column's character set |
/// | `Bytes` | `binary(n)`, `varbinary(n)`, `tinyblob`, `blob`, `mediumblob`, `longblob`, `geometry`, `point`, `vector(n)`, … | `Bytes` (geometry: SRID and WKB as MySQL stores it) |
/// | `Enum`, `Set` | `enum('a','b')`, `set('a','b')` | `Text`: the name; the names with commas |
/// | `Json` | `json` (also MariaDB's longtext with a `json_valid` check) | `Json` |
/// | `Date` | `date` | `Text` `2026-11-21`; zero dates as the server prints them: `0000-00-00` |
/// | `Time` | `time`, `time(6)` | `Text` `-838:59:59.000000`, as many digits as declared |
/// | `DateTime` | `datetime`, `datetime(6)` | `Text` `2026-11-21 05:13:56.000000` |
/// | `Timestamp` | `timestamp`, `timestamp(6)` | `Text` in UTC with its zone: `2026-11-21 05:13:56+00`, as PostgreSQL's timestamptz |
/// | `Uuid`, `Inet6`, `Inet4` | `uuid`, `inet6`, `inet4` (MariaDB) | `Text` as the server prints them |
/// | `Other` | anything else | `Text` |
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// See the table.
    Int {
        /// Bytes: 1, 2, 3, 4, 8.
        bytes: u8,
        /// Whether it is never negative.
        unsigned: bool,
    },
    /// See the table.
    Year,
    /// See the table.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
        /// Whether it is never negative.
        unsigned: bool,
    },
    /// `float`: four bytes.
    Float,
    /// `double`: eight bytes.
    Double,
    /// See the table. So many bits.
    Bit(u8),
    /// See the table.
    Text,
    /// See the table.
    Bytes,
    /// The names, in the order of their numbers from 1.
    Enum(Box<[Box<str>]>),
    /// The names, in the order of their bits.
    Set(Box<[Box<str>]>),
    /// See the table.
    Json,
    /// See the table.
    Date,
    /// Digits of the fraction.
    Time(u8),
    /// Digits of the fraction.
    DateTime(u8),
    /// Digits of the fraction.
    Timestamp(u8),
    /// See the table.
    Uuid,
    /// See the table.
    Inet6,
    /// See the table.
    Inet4,
    /// See the table.
    Other,
}

impl Kind {
    /// Reads a declared type in normal form.
    pub fn of(declared: &str) -> Self {
        let (declared, unsigned) = match declared.strip_suffix(" unsigned") {
            Some(rest) => (rest, true),
            None => (declared, false),
        };
        let (name, arguments) = match declared.split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').unwrap_or(rest)),
            None => (declared, ""),
        };
        let numbers: Vec<u8> = arguments.split(',').filter_map(|number| number.trim().parse().ok()).collect();
        let first = numbers.first().copied();
        let int = |bytes| Self::Int { bytes, unsigned };
        match name {
            "tinyint" => int(1),
            "smallint" => int(2),
            "mediumint" => int(3),
            "int" => int(4),
            "bigint" => int(8),
            "year" => Self::Year,
            "decimal" => {
                Self::Decimal { precision: first.unwrap_or(10), scale: numbers.get(1).copied().unwrap_or(0), unsigned }
            }
            "float" => Self::Float,
            "double" => Self::Double,
            "bit" => Self::Bit(first.unwrap_or(1)),
            "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" => Self::Text,
            "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" | "vector" => Self::Bytes,
            "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring" | "multipolygon"
            | "geometrycollection" | "geomcollection" => Self::Bytes,
            "enum" => Self::Enum(names(arguments)),
            "set" => Self::Set(names(arguments)),
            "json" => Self::Json,
            "date" => Self::Date,
            "time" => Self::Time(first.unwrap_or(0)),
            "datetime" => Self::DateTime(first.unwrap_or(0)),
            "timestamp" => Self::Timestamp(first.unwrap_or(0)),
            "uuid" => Self::Uuid,
            "inet6" => Self::Inet6,
            "inet4" => Self::Inet4,
            _ => Self::Other,
        }
    }
}

/// `'a','it''s'` as its parts.
fn names(list: &str) -> Box<[Box<str>]> {
    let mut names = Vec::new();
    let mut rest = list.trim();
    while let Some(quoted) = rest.strip_prefix('\'') {
        let mut name = String::new();
        let mut chars = quoted.char_indices().peekable();
        let mut end = quoted.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                    chars.next();
                    name.push('\'');
                }
                '\'' => {
                    end = at + 1;
                    break;
                }
                c => name.push(c),
            }
        }
        names.push(name.into());
        rest = quoted[end..].trim_start().trim_start_matches(',').trim_start();
    }
    names.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_read() {
        assert_eq!(Kind::of("bigint unsigned"), Kind::Int { bytes: 8, unsigned: true });
        assert_eq!(Kind::of("decimal(20,4)"), Kind::Decimal { precision: 20, scale: 4, unsigned: false });
        assert_eq!(Kind::of("datetime(6)"), Kind::DateTime(6));
        assert_eq!(Kind::of("enum('a','it''s, ok')"), Kind::Enum(["a".into(), "it's, ok".into()].into()));
        assert_eq!(Kind::of("varchar(255)"), Kind::Text);
        assert_eq!(Kind::of("nonsense"), Kind::Other);
    }
}
