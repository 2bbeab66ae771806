//! Every mistake is answered with what is wrong, where, and what to write instead.

use rowcast::event::{Column, Table, TableName};
use rowcast::filter::{Dialect, Filter, FilterError, Predicate};
use serde_json::json;

fn table() -> Table {
    let column = |name: &str, declared: &str| Column { name: name.into(), declared: declared.into() };
    let columns = vec![
        column("id", "INTEGER"),
        column("time", "INTEGER"),
        column("speed", "REAL"),
        column("city", "TEXT"),
        column("payload", "JSON"),
        column("odd name", ""),
    ];
    Table { name: TableName::bare("readings"), columns, key: vec![0] }
}

fn bind(text: &str) -> Result<Predicate, FilterError> {
    let claims = json!({ "sub": "u1", "org": { "id": 7 }, "groups": ["a"], "nested": [[1]] });
    Filter::parse(text)?.bind(&table(), Dialect::Sqlite, claims.as_object().expect("an object"))
}

/// `marks` has a `^` under each character that the error spans.
#[track_caller]
fn check(text: &str, marks: &str, message: &str, hint: &str) {
    let error = bind(text).expect_err(text);
    let found = format!("{}{}", " ".repeat(error.offset), "^".repeat(error.length));
    assert_eq!((found.as_str(), error.message.as_str()), (marks, message), "{text}");
    assert!(error.hint.as_deref().unwrap_or_default().contains(hint), "{text}: {:?}", error.hint);
}

#[track_caller]
fn accept(text: &str) {
    if let Err(error) = bind(text) {
        panic!("{text}: {error:?}");
    }
}

#[test]
fn an_unknown_column_is_answered_with_the_nearest_and_with_all() {
    let all = "the columns are `id`, `time`, `speed`, `city`, `payload`, `odd name`";
    check("sped > 40", "^^^^", "`readings` has no column `sped`", &format!("did you mean `speed`? {all}"));
    check("id = 1 and wether = 2", "           ^^^^^^", "`readings` has no column `wether`", all);
    check(
        "city = \"Oslo\"",
        "       ^^^^^^",
        "`readings` has no column `Oslo`",
        "text stands in single quotes: 'Oslo'",
    );
    check("größe = 1 or\n  tiem = 2", "^^^^^", "`readings` has no column `größe`", all);
    check("'größe' = city or\r\n  tiem = 2", "                     ^^^^", "`readings` has no column `tiem`", "`time`");
    check("orders.id = 1", "^^^^^^^^^", "this is not a column of `readings`", "one row of one table");
}

#[test]
fn names_are_found_in_every_quoting() {
    for text in [
        "\"odd name\" = 1",
        "`odd name` = 1",
        "[odd name] = 1",
        "SPEED > 1",
        "readings.speed > 1",
        "\"Readings\".\"speed\" > 1",
        "payload -> 'a' -> 0 ->> 'b' = 1",
        "time > 1 -- a comment",
        "/* a */ time > 1",
    ] {
        accept(text);
    }
}

#[test]
fn a_text_that_breaks_off_says_what_should_follow() {
    check("", "^", "the filter is empty", "leave it out");
    check("  \n", "   ^", "the filter is empty", "leave it out");
    check("speed >", "       ^", "the filter ends where a column or a value should follow", "");
    check("speed > 1 and", "             ^", "the filter ends where a column or a value should follow", "");
    check("speed between 1", "               ^", "the filter ends where AND should follow", "BETWEEN 1 AND 9");
    check("(speed > 1", "          ^", "the filter ends where `)` should follow", "");
    check("city in ('Oslo'", "               ^", "the filter ends where `)` should follow", "");
    check("city = 'Oslo", "       ^", "this text is not closed", "`''`");
    check("\"odd = 1", "^", "this name is not closed", "");
    check("id = 1 /* x", "           ^", "a comment is not closed", "*/");
}

#[test]
fn what_cannot_stand_there_is_pointed_at() {
    check("speed > 1)", "         ^", "`)` has no `(`", "");
    check("speed > > 1", "        ^", "`>` cannot stand here", "a column or a value");
    check("speed 5", "      ^", "`5` cannot stand here", "AND, OR or the end");
    check("and speed", "^^^", "`and` cannot stand here", "\"and\"");
    check("speed = 1; drop table readings", "         ^", "a filter is one condition, without `;`", "");
    check("where speed > 1", "^^^^^", "a filter is written without WHERE", "speed > 50");
    check("city = \u{1F600}", "       ^", "this character has no meaning here", "double quotes");
    check("id = 1 order by id", "       ^^^^^", "a filter is only a condition", "sorting");
    check("id = 1 limit 5", "       ^^^^^", "a filter is only a condition", "");
    check("a._", "^^^", "this is not a column of `readings`", "");
    check("= ._", "  ^", "this is not SQL", "");
}

#[test]
fn what_filters_do_not_have_is_named() {
    check("lower(city) = 'oslo'", "^^^^^", "functions are not supported: `lower(…)`", "LIKE ignores the case");
    check("speed > abs(5)", "        ^^^", "functions are not supported: `abs(…)`", "");
    check("id in (select 1)", "       ^^^^^^", "subqueries are not supported", "one row");
    check("exists (select 1)", "^^^^^^", "subqueries are not supported", "");
    check("(select 1) = id", " ^^^^^^", "subqueries are not supported", "");
    check("cast(id as text) = '1'", "^^^^", "CAST is not supported", "");
    check("id::text = '1'", "  ^^", "casts are not supported", "");
    check("case when id = 1 then 1 end", "^^^^", "CASE is not supported", "AND and OR");
    check("speed * 2 > 5", "      ^", "filters do not calculate", "");
    check("speed > 2 + 5", "          ^", "filters do not calculate", "");
    check("city || 'x' = 'y'", "     ^^", "`||` is not supported: it joins texts", "OR");
    check("id = 1 && id = 2", "       ^^", "`&&` is not an operator here", "AND");
    check("!id", "^", "`!` is not supported", "NOT");
    check("-speed > 5", "^", "a sign is only supported before a number", "");
    check("city glob 'a*'", "     ^^^^", "of the pattern operators only LIKE is supported", "LIKE 'a%'");
    check("city collate nocase = 'a'", "     ^^^^^^^", "COLLATE is not supported", "");
    check("id = ?", "     ^", "placeholders are not supported", "claims.x");
    check("id = $1", "     ^^", "placeholders are not supported", "");
    check("id = :x", "     ^", "placeholders are not supported", "");
    check("time > date '2025-01-31'", "       ^^^^", "typed values are not supported", "'2025-01-31'");
    check("city = N'x'", "       ^^^^", "text is written in single quotes", "");
    check("id = 5L", "     ^^", "this is not a number", "");
    check("id <=> 5", "   ^^^", "`<=>` is not supported", "IS NOT DISTINCT FROM");
    check("id is 5", "      ^", "`5` cannot stand here", "IS NULL");
}

#[test]
fn the_wrong_kind_of_thing_is_named() {
    check("1 < speed < 5", "^^^^^^^^^", "a condition cannot be compared with something else", "a < b AND b < c");
    check("id = (speed > 5)", "     ^^^^^^^^^^^", "a condition cannot be compared with something else", "");
    check("(id, time) = (1, 2)", "   ^", "lists are only supported after IN", "AND");
    check("id in 5", "      ^", "IN wants a list", "IN (1, 2)");
    check("city like speed", "          ^^^^^", "a pattern cannot be read from the row", "LIKE 'a%'");
    check("city like 5", "          ^", "a pattern is a text", "");
    check("city like 'a' escape 'ab'", "                     ^^^^", "ESCAPE wants one character", "");
    check("city = x'0'", "       ^^^^", "bytes are written as an even number of hexadecimal digits", "X'00FF'");
    check("5 -> 'a' = 1", "^", "a JSON path begins at a column", "");
    check("payload -> speed = 1", "           ^^^^^", "this is not a path into JSON", "'$.a[0]'");
    check("payload ->> '$.' = 1", "            ^^^^", "this is not a path into JSON", "");
    check("payload ->> 'a' -> 'b' = 1", "                ^^", "only the last arrow may be `->>`", "-> 'a' ->> 'b'");
    check("id > any(claims.groups)", "   ^", "only `= ANY(…)` and `<> ALL(…)` are supported", "IN claims.groups");
}

#[test]
fn claims_are_used_for_what_they_are() {
    check("city = claims.groups", "       ^^^^^^^^^^^^^", "`claims.groups` is a list", "x IN claims.groups");
    check("id = claims.org", "     ^^^^^^^^^^", "this claim is not a single value", "claims.org.id");
    check("id in claims.nested", "      ^^^^^^^^^^^^^", "this claim is not a single value", "");
    check("id = claims", "     ^^^^^^", "`claims` is not a value", "claims.sub");
    check("claims.org -> 'id' = 7", "^^^^^^^^^^", "a JSON path begins at a column", "claims.org.id");
    for text in [
        "claims.sub = 'u1'",
        "id in claims.groups",
        "id = any(claims.groups)",
        "id in (1, claims.groups)",
        "claims.x is null",
    ] {
        accept(text);
    }
}

#[test]
fn too_much_is_refused_at_once() {
    check(&"(".repeat(8192), &format!("{}^", " ".repeat(64)), "more than 64 parentheses inside each other", "");
    check(&"(".repeat(100_000), &format!("{}^", " ".repeat(8192)), "the filter has 100000 bytes and may have 8192", "");
    let text = format!("city = '{}'", "ä".repeat(5000));
    check(&text, &format!("{}^", " ".repeat(4100)), "the filter has 10009 bytes and may have 8192", "");
    let many = format!("id in ({})", vec!["1"; 4090].join(","));
    assert!(bind(&many).is_ok());
    let pattern = format!("city like '{}'", "a".repeat(1001));
    check(&pattern, &format!("{}{}", " ".repeat(10), "^".repeat(1003)), "a pattern has at most 1000 characters", "");
    let path = format!("payload{} = 1", " -> 'a'".repeat(65));
    assert_eq!(bind(&path).expect_err("too long").message, "a JSON path of more than 64 steps");
    for text in [
        "not ".repeat(2048),
        "not(".repeat(2048),
        "-".repeat(8192),
        "- ".repeat(4096),
        "a=".repeat(4096),
        "a.".repeat(4096),
        "a->".repeat(2048),
    ] {
        assert!(bind(&text).is_err());
    }
    let deep = format!("id{}", " isnull".repeat(1000));
    assert_eq!(bind(&deep).expect_err("too deep").message, "conditions on conditions, more than 100 deep");
    accept(&format!("{}id", "not ".repeat(2000)));
    accept(&vec!["id"; 1300].join(" or "));
}

#[test]
fn lists_in_the_claims_are_bounded() {
    let claims = json!({ "few": vec![1; 4096], "many": vec![1; 4097] });
    let bind =
        |text: &str| Filter::parse(text)?.bind(&table(), Dialect::Sqlite, claims.as_object().expect("an object"));
    assert!(bind("id in claims.few").is_ok());
    let error = bind("id in claims.many").expect_err("too many");
    assert_eq!(error.message, "the claims have lists of more than 4096 values");
    assert!(bind("id in claims.few or id in claims.few").is_err());
}

#[test]
fn the_examples_of_the_documentation_are_filters() {
    let text = include_str!("../../../../../docs/filters.md");
    let start = text.find("## What can be written").expect("the section");
    let section = &text[start..text.find("**Names**").expect("its end")];
    let spans = section.split('`').skip(1).step_by(2);
    let examples: Vec<_> = spans.filter(|span| span.contains(' ') && span.starts_with(char::is_lowercase)).collect();
    assert!(examples.len() > 20, "{examples:?}");
    for example in examples {
        assert!(Filter::parse(example).is_ok(), "{example}");
    }
}
