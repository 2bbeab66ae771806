//! Values that have made a difference, for each type.

/// A type, and values of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pool {
    /// In normal form, as columns say it.
    pub(super) declared: &'static str,
    /// As CREATE TABLE has it.
    pub(super) created: &'static str,
    /// What an index on it is of; empty for none.
    pub(super) key: &'static str,
    pub(super) values: &'static [&'static str],
}

const fn pool(
    declared: &'static str,
    created: &'static str,
    key: &'static str,
    values: &'static [&'static str],
) -> Pool {
    Pool { declared, created, key, values }
}

pub(super) const TEXTS: &[&str] = &[
    "", "a", "A", "abc", "abc ", "ABC", "Ärger", "ärger", "arger", "b", "a%b", "a_b", "a\\b", "5", "日本", "😀", "😁",
    "it's", "null", " ", "a\0", "a|b", "ß", "ss", "İ", "k", "\u{212a}", "x\u{301}", "\u{ad}a", "ÿ", "€", "a\t",
];
/// What a single byte of latin1 holds.
const LATIN: &[&str] = &[
    "", "a", "A", "abc", "abc ", "ABC", "Ärger", "ärger", "arger", "a%b", "a\\b", "ß", "ss", "ÿ", "€", "\u{ad}a", "a\t",
];
const SHORT: &[&str] = &["", "a", "A", "abc", "abcde", "b", "5", "é", "e", "ab", "a\t", "😀"];

#[rustfmt::skip]
pub(super) const TYPES: &[Pool] = &[
    pool("tinyint", "tinyint(1)", "(c)", &["0", "1", "-1", "5", "127", "-128"]),
    pool("tinyint unsigned", "tinyint unsigned", "(c)", &["0", "1", "255"]),
    pool("smallint", "smallint", "(c)", &["0", "1", "-1", "32767"]),
    pool("mediumint", "mediumint", "(c)", &["0", "-1", "-8388608", "8388607"]),
    pool("int", "int", "(c)", &["0", "1", "-1", "5", "2147483647", "-2147483648", "16777217", "20261121", "26"]),
    pool("bigint", "bigint", "(c)", &["0", "1", "5", "9223372036854775807", "-9223372036854775808", "9007199254740993", "9007199254740992"]),
    pool("bigint unsigned", "bigint unsigned", "(c)", &["0", "1", "18446744073709551615", "9223372036854775808", "9223372036854775807", "5"]),
    pool("year", "year", "(c)", &["0000", "1901", "2155", "2026", "2005"]),
    pool("decimal(10,2)", "decimal(10,2)", "(c)", &["0", "1", "1.00", "0.1", "5", "-1.5", "99999999.99", "37.5"]),
    pool("decimal(65,30)", "decimal(65,30)", "(c)", &["0", "0.000000000000000000000000000001", "-12345678901234567890123456789012345.5", "0.1", "1"]),
    pool("decimal(65,0)", "decimal(65,0)", "(c)", &["99999999999999999999999999999999999999999999999999999999999999999", "9007199254740993", "-1", "18446744073709551616"]),
    pool("decimal(5,1) unsigned", "decimal(5,1) unsigned", "", &["0", "0.1", "9999.9"]),
    pool("float", "float", "(c)", &["0", "-0", "1", "0.1", "5", "1.5", "16777216", "1e38", "1e-38", "3.4e38", "0.3"]),
    pool("double", "double", "(c)", &["0", "-0", "1", "0.1", "5", "1.5", "9007199254740992", "1e300", "1e-300", "0.30000000000000004", "0.10000000149011612", "16777217"]),
    pool("double", "double(10,2)", "(c)", &["0", "1", "0.1", "5.25", "-1.5"]),
    pool("bit(8)", "bit(8)", "", &["b'0'", "b'1'", "b'101'", "b'11111111'"]),
    pool("bit(64)", "bit(64)", "", &["b'0'", "b'1'", "b'1111111111111111111111111111111111111111111111111111111111111111'"]),
    pool("varchar(20)", "varchar(20) character set utf8mb4 collate utf8mb4_general_ci", "(c)", TEXTS),
    pool("varchar(20)", "varchar(20) character set utf8mb4 collate utf8mb4_unicode_ci", "(c)", TEXTS),
    pool("varchar(20)", "varchar(20) character set utf8mb4 collate utf8mb4_bin", "(c)", TEXTS),
    pool("varchar(20)", "varchar(20) character set latin1 collate latin1_swedish_ci", "(c)", LATIN),
    pool("varchar(20)", "varchar(20) character set latin1 collate latin1_german2_ci", "(c)", LATIN),
    pool("varchar(20)", "varchar(20) character set utf8mb3 collate utf8mb3_general_ci", "(c)", LATIN),
    pool("varchar(20)", "varchar(20) character set ucs2", "(c)", LATIN),
    pool("text", "text character set utf8mb4 collate utf8mb4_general_ci", "(c(5))", TEXTS),
    pool("longtext", "longtext character set latin1", "(c(3))", LATIN),
    pool("char(5)", "char(5) character set utf8mb4 collate utf8mb4_general_ci", "(c)", SHORT),
    pool("char(5)", "char(5) character set latin1 collate latin1_swedish_ci", "(c)", &["", "a", "A", "abc", "abcde", "é", "e"]),
    pool("enum('sad','ok','Happy','1')", "enum('sad','ok','Happy','1') collate utf8mb4_general_ci", "(c)", &["sad", "ok", "Happy", "1"]),
    pool("set('a','b','c d')", "set('a','b','c d')", "(c)", &["", "a", "a,b", "a,c d", "a,b,c d"]),
    pool("date", "date", "(c)", &["2026-11-21", "2026-11-22", "1970-01-01", "0000-00-00", "2026-11-00", "2026-00-00", "9999-12-31", "0001-01-01", "2026-02-30"]),
    pool("date", "date not null", "(c)", &["2026-11-21", "0000-00-00", "2026-11-22"]),
    pool("datetime", "datetime", "(c)", &["2026-11-21 10:00:00", "2026-11-21", "0000-00-00 00:00:00", "9999-12-31 23:59:59", "2026-11-00 10:00:00"]),
    pool("datetime(6)", "datetime(6)", "(c)", &["2026-11-21 10:00:00", "2026-11-21 10:00:00.000001", "2026-11-21 10:00:00.5", "0000-00-00", "1969-12-31 23:59:59.999999"]),
    pool("datetime(3)", "datetime(3)", "(c)", &["2026-11-21 10:00:00.123", "2026-11-21 10:00:00", "2026-11-22"]),
    pool("timestamp", "timestamp null", "(c)", &["2026-11-21 10:00:00", "1970-01-01 00:00:01", "2038-01-19 03:14:07", "0000-00-00 00:00:00"]),
    pool("timestamp(6)", "timestamp(6) null", "(c)", &["2026-11-21 10:00:00.5", "2026-11-21 10:00:00", "2026-11-21 12:00:00.000001"]),
    pool("time", "time", "(c)", &["00:00:00", "10:00:00", "-838:59:59", "838:59:59", "-00:00:01", "24:00:00"]),
    pool("time(6)", "time(6)", "(c)", &["10:00:00.5", "10:00:00", "-10:00:00.000001", "838:59:58.999999", "100:00:00"]),
    pool("binary(4)", "binary(4)", "(c)", &["x'00ff'", "x'61626364'", "x'61'", "x''"]),
    pool("varbinary(20)", "varbinary(20)", "(c)", &["x''", "x'00ff'", "x'00ff00'", "x'61'", "x'ff'", "x'f09f9880'"]),
    pool("blob", "blob", "(c(3))", &["x''", "x'00ff'", "x'00ff0101'", "x'61'", "x'20'"]),
    pool("json", "json", "", &["{}", "{\"a\": \"move\"}", "{\"a\": 1.5, \"b\": [true, null, \"x\"]}", "null", "[1, 2, {\"a\": \"é\"}]", "\"a\"", "5",
        "{\"b c\": {\"a\": \"tab\\t\\\"q\\\"\"}, \"a\": null}", "[[\"a\", 100], \"b\"]", "true", "{\"5\": \"b\", \"Größe\": \"\\u00e9😀\", \"*\": \"null\"}", "{\"a\": {\"a\": 0}, \"A\": false}",
        "{ \"a\" : \"x\" , \"a\":\"move\"}", "{\"\\u0061\": \"\\/\\ud83d\\ude00\"}", "[1.50, -0, 1E2, 1.0]", " [ [ \"\\u0000\" ] , 0 ] ", "{\"a\": [[\"move\"]]}", "[]", "\"\"",
        "{\"a\": 18446744073709551615, \"b\": [12345678901234567890123]}"]),
    pool("point", "point", "", &[]),
    pool("uuid", "uuid", "(c)", &["6fa459ea-ee8a-3ca4-894e-db77e160355e", "6FA459EA-EE8A-3CA4-894E-DB77E160355E", "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]),
    pool("inet6", "inet6", "(c)", &["::1", "2001:db8::1", "::ffff:192.0.2.1", "::", "::192.0.2.1", "2001:DB8:0:0::1"]),
    pool("inet4", "inet4", "(c)", &["192.0.2.1", "0.0.0.0", "255.255.255.255"]),
];

/// Types at the end that only MariaDB has.
pub(super) const MARIADB_ONLY: usize = 3;

/// Patterns of LIKE.
#[rustfmt::skip]
pub(super) const PATTERNS: &[&str] = &[
    "%", "_%", "a%", "A%", "%b", "a_b", "a\\_b", "a\\%b", "_", "", "abc", "abc__", "%é%", "ä%", "%\\\\%", "a%%_", "日_", "_b%", "%c ", "a|b", "%|%",
    "K", "i%", "%SS", "_\\_%", "%😀%", "ar%er", "o%", "h_ppy", "a%,%",
];

/// Paths into JSON, and texts that are found there.
#[rustfmt::skip]
pub(super) const PATHS: &[&str] = &[
    "->> 'a'", "->> 0", "-> 'b' ->> 0", "-> 'b' ->> 2", "-> 'b c' ->> 'a'", "-> 2 ->> 'a'", "-> 0 ->> 0", "-> 0 ->> 1", "-> 'a' ->> 0",
    "->> '5'", "->> 'b'", "->> 5", "->> 'Größe'", "->> '*'", "->> 'A'", "-> 'a' ->> 'a'",
];

#[rustfmt::skip]
pub(super) const FOUND: &[&str] = &[
    "move", "1.5", "true", "x", "é", "a", "5", "tab\t\"q\"", "1", "100", "b", "null", "", "é😀", "MOVE", "false",
    "/😀", "1.50", "1E2", "-0", "\0", "18446744073709551615", "0",
];
