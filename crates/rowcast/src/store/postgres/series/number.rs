//! Columns as doubles, for charts. What is no finite number is NULL: one of them must not end the statement.

/// Numbers in a text which a double holds. Brackets instead of backslashes: they mean the same whatever the server's settings.
pub(super) const NUMERAL: &str = "^[ ]*[-+]?([0-9]{1,100}[.]?[0-9]{0,100}|[.][0-9]{1,100})([eE][-+]?[0-9]{1,2})?[ ]*$";

/// SQL for the double that a column of this type holds.
pub(super) fn number(column: &str, oid: u32) -> String {
    match oid {
        // smallint, integer, bigint, oid
        20 | 21 | 23 | 26 => format!("{column}::float8"),
        // real, double precision
        700 | 701 => format!("CASE WHEN {column} > '-Infinity' AND {column} < 'Infinity' THEN {column}::float8 END"),
        // numeric
        1700 => format!("CASE WHEN pg_catalog.abs({column}) < 1e300 THEN {column}::float8 END"),
        // boolean
        16 => format!("{column}::int4::float8"),
        // money
        790 => format!("{column}::numeric::float8"),
        // interval, in seconds
        1186 => format!("pg_catalog.date_part('epoch', {column})"),
        // text, varchar, char(n)
        25 | 1042 | 1043 => format!("CASE WHEN {column}::text ~ '{NUMERAL}' THEN {column}::text::float8 END"),
        _ => "NULL::float8".to_owned(),
    }
}
