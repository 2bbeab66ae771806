//! Random values of every type, as the text that PostgreSQL reads.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Types that the table below uses beyond the built-in ones.
pub(super) const TYPES: &str = r#"
create extension hstore; create extension citext; create schema "Odd schema";
create type mood as enum ('sad', 'o"k, {}', 'ÜBER', ''' \', 'null');
create domain small as integer check (value < 100000);
create domain numbers as integer[];
create domain label as mood;
create domain moment as timestamptz;
create domain code as char(4);
create type inner_pair as (x bigint, "y ""z" text);
create type "Odd schema"."Pair" as (a numeric, b text, inside inner_pair, list float8[], day timestamptz, "äöü" jsonb, raw bytea);
alter type inner_pair add attribute gone int, add attribute later bool; alter type inner_pair drop attribute gone;
create domain pair as inner_pair;
create type spread as range (subtype = float8);
create table whole (id int, note varchar(7));
"#;

type Texts = BoxedStrategy<String>;

/// Each type with a strategy for its texts.
pub(super) fn types() -> Vec<(String, Texts)> {
    let mut types: Vec<(String, Texts)> = scalars().into_iter().map(|(name, texts)| (name.to_owned(), texts)).collect();
    let arrays: Vec<_> = types.iter().map(|(name, texts)| (format!("{name}[]"), array(name, texts.clone()))).collect();
    types.extend(arrays);
    types.push(("int2vector".to_owned(), vec(any::<i16>(), 0..4).prop_map(|list| joined(&list, " ")).boxed()));
    types.push(("oidvector".to_owned(), vec(any::<u32>(), 0..4).prop_map(|list| joined(&list, " ")).boxed()));
    types
}

fn scalars() -> Vec<(&'static str, Texts)> {
    let mut all = numbers();
    all.extend(times());
    all.extend(texts());
    all.extend(networks_and_shapes());
    all.extend(ranges());
    all.extend(made());
    all
}

fn joined(list: &[impl ToString], by: &str) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join(by)
}

fn of<T: ToString + std::fmt::Debug>(strategy: impl Strategy<Value = T> + 'static) -> Texts {
    strategy.prop_map(|value| value.to_string()).boxed()
}

fn one_of(list: &'static [&'static str]) -> Texts {
    of(select(list))
}

fn numeric() -> Texts {
    let digits = "-?[0-9]{1,40}(\\.[0-9]{1,40})?";
    prop_oneof![4 => digits, 1 => "-?[0-9]{1,4}\\.[0-9]{1,2}", 1 => one_of(&["NaN", "Infinity", "-Infinity", "0", "0.00"])].boxed()
}

fn float() -> Texts {
    let odd =
        one_of(&["NaN", "Infinity", "-Infinity", "0", "-0", "1e15", "1e16", "123456789012345680", "0.0001", "1e-5"]);
    prop_oneof![3 => any::<f64>().prop_map(|x| format!("{x:e}")), 2 => of(-1000..1000), 1 => odd].boxed()
}

fn numbers() -> Vec<(&'static str, Texts)> {
    let single = prop_oneof![
        3 => any::<f32>().prop_map(|x| format!("{x:e}")),
        1 => one_of(&["NaN", "Infinity", "-Infinity", "-0", "0.1", "16777216", "1e6", "1e-45"]),
    ];
    let reg = |sql: &'static [&'static str]| one_of(sql);
    vec![
        ("bool", of(any::<bool>())),
        ("int2", of(any::<i16>())),
        ("int4", of(any::<i32>())),
        ("int8", of(prop_oneof![any::<i64>(), -9_i64..9, select(&[i64::MIN, i64::MAX, 1 << 53][..])])),
        ("float4", single.boxed()),
        ("float8", float()),
        ("numeric", numeric()),
        ("numeric(10,2)", of(-9_999_999..9_999_999)),
        ("numeric(20,-3)", of(any::<i64>())),
        ("money", prop_oneof![of(-99_999..99_999), Just("-12.34".to_owned())].boxed()),
        ("oid", of(any::<u32>())),
        ("xid", of(any::<u32>())),
        ("cid", of(any::<u32>())),
        ("xid8", of(any::<u64>())),
        ("tid", of("\\([0-9]{1,5},[0-9]{1,3}\\)")),
        ("regclass", reg(&["pg_class", "pg_type", "whole"])),
        ("regtype", reg(&["integer", "\"Odd schema\".\"Pair\"", "timestamp with time zone", "mood[]"])),
        ("regproc", reg(&["now", "bpcharout"])),
        ("regprocedure", reg(&["abs(integer)", "now()"])),
        ("regoper", reg(&["||/"])),
        ("regoperator", reg(&["+(integer,integer)", "-(none,integer)"])),
        ("regrole", reg(&["pg_monitor"])),
        ("regnamespace", reg(&["pg_catalog", "\"Odd schema\""])),
        ("regconfig", reg(&["english", "simple"])),
        ("regdictionary", reg(&["english_stem", "simple"])),
        ("regcollation", reg(&["\"C\"", "\"POSIX\""])),
        ("pg_lsn", of("[0-9A-F]{1,8}/[0-9A-F]{1,8}")),
        ("pg_snapshot", reg(&["10:20:10,14,15", "1:1:"])),
        ("txid_snapshot", reg(&["10:20:10,14,15", "1:1:"])),
    ]
}

fn day() -> Texts {
    let days = (1..=9999, 1..=12, 1..=28).prop_map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"));
    prop_oneof![4 => days, 1 => Just("2024-02-29".to_owned()), 1 => Just("12026-01-31".to_owned())].boxed()
}

fn clock() -> Texts {
    let fraction = prop_oneof![Just(String::new()), of("\\.[0-9]{1,6}")];
    let clocks = (0..24, 0..60, 0..60, fraction).prop_map(|(h, m, s, f)| format!("{h:02}:{m:02}:{s:02}{f}"));
    prop_oneof![6 => clocks, 1 => Just("00:00:00".to_owned())].boxed()
}

fn zone() -> Texts {
    one_of(&["+00", "-05", "+05:30", "-11:59:58", "+15:59:59"])
}

fn era() -> Texts {
    prop_oneof![5 => Just(String::new()), 1 => Just(" BC".to_owned())].boxed()
}

fn bc(year: &str) -> bool {
    year.get(..4).and_then(|year| year.parse::<i32>().ok()).is_some_and(|year| year < 4700)
        && !year.starts_with("12026")
}

fn moment(zone: impl Strategy<Value = String> + 'static) -> Texts {
    let moments = (day(), clock(), zone, era()).prop_map(|(day, clock, zone, era)| {
        let era = if bc(&day) && !day.ends_with("02-29") { era } else { String::new() };
        format!("{day} {clock}{zone}{era}")
    });
    prop_oneof![8 => moments, 1 => one_of(&["infinity", "-infinity"])].boxed()
}

fn times() -> Vec<(&'static str, Texts)> {
    let dates =
        (day(), era()).prop_map(|(day, era)| if bc(&day) && !day.ends_with("02-29") { day + &era } else { day });
    let part = |unit: &'static str| (-99..99).prop_map(move |n| format!("{n} {unit}"));
    let spans = (part("years"), part("months"), part("days"), any::<i32>().prop_map(|n| format!("{n} milliseconds")));
    vec![
        (
            "date",
            prop_oneof![8 => dates, 1 => one_of(&["infinity", "-infinity", "5874897-12-31", "4713-01-01 BC"])].boxed(),
        ),
        ("time", prop_oneof![5 => clock(), 1 => Just("24:00:00".to_owned())].boxed()),
        ("time(2)", clock()),
        ("timetz", (clock(), zone()).prop_map(|(clock, zone)| clock + &zone).boxed()),
        ("timestamp", moment(Just(String::new()))),
        ("timestamp(3)", moment(Just(String::new()))),
        ("timestamptz", moment(zone())),
        ("interval", spans.prop_map(|(y, m, d, ms)| format!("{y} {m} {d} {ms}")).boxed()),
        ("interval day to second(3)", one_of(&["1 day 02:03:04.5678", "-1 day", "00:00:00"])),
    ]
}

/// What trips readers: quotes, backslashes, separators, blanks, `NULL`, letters of two to four bytes.
fn any_text() -> Texts {
    let odd = one_of(&[
        "",
        "NULL",
        "null",
        " ",
        "{}",
        "()",
        "\"",
        "\\",
        "\\\\",
        "a,b",
        "[0:1]={1}",
        "\u{1F600}",
        "\u{7f}",
        "'",
        "=>",
    ]);
    let letters = vec(
        select(
            &[
                "a", "B", " ", "\"", "\\", "'", ",", ";", "{", "}", "(", ")", "\n", "\t", "\u{1}", "é", "\u{2028}",
                "😀", "%", "$",
            ][..],
        ),
        0..9,
    );
    prop_oneof![2 => odd, 5 => letters.prop_map(|letters| letters.concat())].boxed()
}

fn json_text() -> Texts {
    let quoted = |text: String| serde_json::to_string(&text).expect("JSON");
    let leaf = prop_oneof![
        any_text().prop_map(quoted),
        one_of(&["true", "false", "1", "-0.5", "1e5", "12345678901234567890.123", "0", "\"\\u00e9\\/\\b\""]),
    ];
    let nested = leaf.prop_recursive(3, 12, 3, move |inner| {
        let list = vec(prop_oneof![3 => inner.clone(), 1 => Just("null".to_owned())], 0..3);
        let object = vec((any_text(), inner), 0..3);
        prop_oneof![
            list.prop_map(|items| format!("[{}]", items.join(" ,"))),
            object.prop_map(move |fields| {
                let fields = fields
                    .into_iter()
                    .map(|(key, value)| format!("{} :{value}", serde_json::to_string(&key).expect("JSON")));
                format!("{{ {}\n}}", fields.collect::<Vec<_>>().join(", "))
            }),
        ]
    });
    nested.boxed()
}

fn hex() -> Texts {
    vec(any::<u8>(), 0..12)
        .prop_map(|bytes| format!("\\x{}", bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()))
        .boxed()
}

fn texts() -> Vec<(&'static str, Texts)> {
    let words = one_of(&["'a':1A 'fat':2B,4C 'it''s':3", "a b c", "'x\\\\y' '\"'", ""]);
    let queries = one_of(&["'fat' & ( 'rat' | 'cat' )", "!'it''s'", "'a' <2> 'b':AB*", ""]);
    vec![
        ("text", any_text()),
        ("varchar", any_text()),
        ("varchar(30)", any_text()),
        ("bpchar(12)", any_text()),
        ("bpchar", any_text()),
        ("\"char\"", of("[ -~]?")),
        ("name", any_text()),
        ("citext", any_text()),
        ("bytea", hex()),
        ("json", json_text()),
        ("jsonb", json_text()),
        ("jsonpath", one_of(&["$.\"a b\"[*]?(@ > 1 && exists (@.x))", "strict $", "$.a"])),
        ("xml", one_of(&["<a b=\"c\">d &amp; e</a>", "text", ""])),
        ("tsvector", words),
        ("tsquery", queries),
        ("bit(5)", of("[01]{5}")),
        ("varbit", of("[01]{0,20}")),
        ("uuid", of("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")),
        ("refcursor", any_text()),
    ]
}

fn point() -> Texts {
    (float(), float()).prop_map(|(x, y)| format!("({x},{y})")).boxed()
}

fn plain_point() -> Texts {
    (-99..99, -99..99).prop_map(|(x, y)| format!("({x}.5,{y})")).boxed()
}

fn networks_and_shapes() -> Vec<(&'static str, Texts)> {
    let v4 = (any::<std::net::Ipv4Addr>(), 0..=32).prop_map(|(address, mask)| format!("{address}/{mask}"));
    let v6 = (any::<std::net::Ipv6Addr>(), 0..=128).prop_map(|(address, mask)| format!("{address}/{mask}"));
    let whole =
        prop_oneof![of(any::<std::net::IpAddr>()), one_of(&["10.0.0.1/32", "::1/128", "::ffff:1.2.3.4", "::1/32"])];
    let many = |from: usize| vec(plain_point(), from..5);
    vec![
        ("inet", prop_oneof![v4, v6, whole.clone()].boxed()),
        (
            "cidr",
            prop_oneof![
                whole.prop_filter("no host bits", |text| *text != "::1/32"),
                one_of(&["10.0.0.0/8", "fe80::/10", "0.0.0.0/0"])
            ]
            .boxed(),
        ),
        ("macaddr", of("([0-9a-f]{2}:){5}[0-9a-f]{2}")),
        ("macaddr8", of("([0-9a-f]{2}:){7}[0-9a-f]{2}")),
        ("point", point()),
        ("line", (1..99, float()).prop_map(|(a, c)| format!("{{{a},-2.5,{c}}}")).boxed()),
        ("lseg", (point(), point()).prop_map(|(a, b)| format!("[{a},{b}]")).boxed()),
        ("box", (plain_point(), plain_point()).prop_map(|(a, b)| format!("{a},{b}")).boxed()),
        (
            "path",
            (many(1), any::<bool>())
                .prop_map(|(points, open)| {
                    let points = points.join(",");
                    if open { format!("[{points}]") } else { format!("({points})") }
                })
                .boxed(),
        ),
        ("polygon", many(1).prop_map(|points| format!("({})", points.join(","))).boxed()),
        ("circle", (plain_point(), 0..99).prop_map(|(center, radius)| format!("<{center},{radius}>")).boxed()),
    ]
}

/// Of two bounds in order; either may be missing.
fn range(bound: impl Strategy<Value = i32> + Clone + 'static, show: fn(i32) -> String) -> Texts {
    let some = (bound, 1..50, select(&["[", "("][..]), select(&["]", ")"][..]), 0..6).prop_map(
        move |(low, more, open, close, which)| {
            let (from, to) = (show(low), show(low + more));
            match which {
                0 => format!("{open},{to}{close}"),
                1 => format!("{open}{from},{close}"),
                2 => "(,)".to_owned(),
                3 => "empty".to_owned(),
                _ => format!("{open}{from},{to}{close}"),
            }
        },
    );
    some.boxed()
}

fn as_day(n: i32) -> String {
    format!("{:04}-{:02}-{:02}", 2000 + n.div_euclid(300), 1 + n.rem_euclid(300) / 25, 1 + n.rem_euclid(25))
}

fn ranges() -> Vec<(&'static str, Texts)> {
    let several = |one: Texts| vec(one, 0..4).prop_map(|list| format!("{{{}}}", list.join(","))).boxed();
    let numbers = range(-99..99, |n| n.to_string());
    let moments = range(0..5000, |n| format!("\"{} 10:00:00.5\"", as_day(n)));
    vec![
        ("int4range", numbers.clone()),
        ("int8range", numbers.clone()),
        ("numrange", range(-99..99, |n| format!("{n}.50"))),
        ("spread", numbers.clone()),
        ("tsrange", moments.clone()),
        ("tstzrange", moments.clone()),
        ("daterange", range(0..5000, as_day)),
        ("int4multirange", several(numbers.clone())),
        ("nummultirange", several(numbers)),
        ("tstzmultirange", several(moments)),
    ]
}

/// Quoted in the way that arrays, records and hstores all read.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn field(texts: Texts) -> Texts {
    prop_oneof![1 => Just(String::new()), 4 => texts.prop_map(|text| quoted(&text))].boxed()
}

fn made() -> Vec<(&'static str, Texts)> {
    let mood = one_of(&["sad", "o\"k, {}", "ÜBER", "' \\", "null"]);
    let flag = one_of(&["", "t", "f"]);
    let inner = (field(of(any::<i64>())), field(any_text()), flag)
        .prop_map(|(x, y, later)| format!("({x},{y},{later})"))
        .boxed();
    let list = array("float8", float());
    let fields = (
        field(numeric()),
        field(any_text()),
        field(inner.clone()),
        field(list),
        field(moment(zone())),
        field(json_text()),
        field(hex()),
    );
    let pair = fields.prop_map(|(a, b, c, d, e, f, g)| format!("({a},{b},{c},{d},{e},{f},{g})"));
    let value = prop_oneof![1 => Just("NULL".to_owned()), 4 => any_text().prop_map(|text| quoted(&text))];
    let pairs = vec((any_text(), value), 0..4);
    let hstore = pairs.prop_map(|pairs| {
        joined(&pairs.iter().map(|(key, value)| format!("{}=>{value}", quoted(key))).collect::<Vec<_>>(), ", ")
    });
    let row = (0..99, "[a-z,]{0,7}").prop_map(|(id, note)| format!("({id},{})", quoted(&note)));
    vec![
        ("mood", mood.clone()),
        ("label", mood),
        ("small", of(-99_999..99_999)),
        ("moment", moment(zone())),
        ("code", any_text().prop_map(|text| text.chars().take(4).collect()).boxed()),
        ("numbers", array("int4", of(any::<i32>()))),
        ("inner_pair", inner.clone()),
        ("pair", inner),
        ("\"Odd schema\".\"Pair\"", pair.boxed()),
        ("whole", row.boxed()),
        ("hstore", hstore.boxed()),
    ]
}

/// Of one or two dimensions, counted from any number.
fn array(of: &str, texts: Texts) -> Texts {
    let delimiter = if of == "box" { ";" } else { "," };
    let item = prop_oneof![1 => Just("NULL".to_owned()), 5 => texts.prop_map(|text| quoted(&text))];
    let line = move |items: Vec<String>| format!("{{{}}}", items.join(delimiter));
    let one = vec(item.clone(), 0..4).prop_map(line);
    let two = (vec((item.clone(), item.clone()), 1..3))
        .prop_map(move |rows| line(rows.into_iter().map(|(a, b)| line(vec![a, b])).collect()));
    let bounds = (-3..3, vec(item, 2)).prop_map(move |(from, items)| format!("[{from}:{}]={}", from + 1, line(items)));
    prop_oneof![4 => one, 1 => two, 1 => bounds].boxed()
}
