//! Values that have made a difference: at the borders of types, of conversions, of syntax.

/// Pieces of filters, to be put together without sense.
#[rustfmt::skip]
pub(super) const SCRAPS: &[&str] = &[
    "a", "speed", " ", " ", "and ", "or ", "not ", "(", ")", "((", "in", " in (", ",", "'", "'x'", "\"", "\"a b\"",
    "`", "[", "]", "1", "-", "--", "/*", "*/", "1.5e", "0x", "x'0f'", "=", "==", "<>", "!=", "<", "<=", "->", "->>",
    " is ", "null", "true", "like ", "escape", "between ", "distinct from ", "claims.", ".", ";", "\n", "\r\n", "é",
    "😀", "\0", "any(", "all(", "case ", "cast(", "select ", "?", "$1", ":x", "@", "#", "~", "|", "||", "&", "!", "%",
    "9999999999999",
];

/// A claim's path and what it is in SQL.
#[rustfmt::skip]
pub(super) const CLAIMS: &[(&str, &str)] = &[
    ("sub", "'abc'"), ("n", "37"), ("big", "9007199254740993"), ("half", "0.5"), ("yes", "1"), ("nil", "NULL"),
    ("org.id", "'ABC'"), ("org.\"deep\".n", "'37'"), ("missing", "NULL"), ("sub.no", "NULL"),
];

#[rustfmt::skip]
pub(super) const LISTS: &[(&str, &str)] = &[
    ("groups", "('abc', '37', 5)"), ("none", "()"), ("mixed", "(1, '37', 2.5, NULL)"), ("missing", "(NULL)"),
    ("n", "(37)"),
];

#[rustfmt::skip]
pub(super) const TEXTS: &[&str] = &[
    "", "abc", "ABC", "aBc", "abd", "Ärger", "ärger", "37", " 37 ", "37.0", "+37", "3.7e1", "1e3", "0x10", "-5", ".5",
    "5.", "0", "0.0", "-0", "00", "5 x", "NaN", "inf", "Inf", "9007199254740993", "9223372036854775807",
    "9223372036854775808", "-9223372036854775808", "1e400", "1e-400", "4611686018427387904", "日本", "😀", "%", "_",
    "\\", "a%b", "it's", "true", "0.1", "0.30000000000000004", "1.0e+100", "123456789012345678",
    "1.2345678901234568e+17", "\t37\n", "37\u{b}", "\u{a0}37", "a\0b", "37\0", "\u{fffd}", "null", "1", "[1,2]",
];

#[rustfmt::skip]
pub(super) const DOCUMENTS: &[&str] = &[
    r#"{"a":1,"b":[1,2.5,"x",null,true],"c":{"d":"37","e":null}}"#,
    r#" { "a" : [ 1 , { "b" : "a b" } ] , "a" : 2 } "#, r#"{"a":"abc","b":"\u0041\ud83d\ude00","c":false}"#,
    r#"{"a b":{"":"é"},"\u0061":"esc","x\"y":7}"#, r#"[[1,2,3],{"a":"37"}]"#,
    r#"{"a":9223372036854775807,"b":9223372036854775808,"c":-9223372036854775808}"#,
    r#"{"a":1e400,"b":-0,"c":-0.0,"d":0.1}"#, r#"{"a":"\ud800x","b":"a\u0000b","c\u0000d":5}"#, r#""text""#, "5",
    "null", "true", "{}", "[]", "{a:1}", "[1,]", "{\"a\":", "'x'", "{\"a\":1}\0x", "{\"a\":1} x", "{\"a\":\"\u{1}\"}",
    "/* c */ 1", r#"{"a":01}"#, r#"{"a":"37","b":37,"c":37.0,"d":"37.0"}"#,
];

#[rustfmt::skip]
pub(super) const INTS: &[i64] = &[
    0, 1, -1, 5, 37, 1000, i64::MAX, i64::MIN, i64::MAX - 1, 9_007_199_254_740_993, 9_007_199_254_740_992, 1 << 62,
    -9_007_199_254_740_993, 2_251_799_813_685_248,
];

#[rustfmt::skip]
pub(super) const REALS: &[f64] = &[
    0.0, -0.0, 0.5, 2.5, 37.0, 37.5, 0.1, 0.300_000_000_000_000_04, 1e100, -1e-300, 5e-324, 9_007_199_254_740_992.0,
    9.223_372_036_854_776e18, -9.223_372_036_854_776e18, f64::INFINITY, f64::NEG_INFINITY, 1.234_567_890_123_456_8e17,
    1e16, 1e17, 123_456.789, 1e-5, 0.000_123,
];

#[rustfmt::skip]
pub(super) const BLOBS: &[&[u8]] = &[
    b"", b"abc", b"37", b"\0", b"\xff\xfe", b"1e3", b"{\"a\":1}", b"\xc3\xa4", b"\xe3\x81a", b"a\0b", b" 37 "
];
