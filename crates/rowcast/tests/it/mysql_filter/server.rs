//! What the server makes of the pushed SQL, beside the truth of it.

use std::fmt::Write as _;

use super::{Stage, ask, cell, run, stage};
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use rowcast::event::{Column, Table, TableName};

/// A table with an index on each column, of 2,000 rows with different values.
async fn filled(conn: &mut Conn) -> Stage {
    run(
        conn,
        "CREATE TABLE t (n int auto_increment primary key, id bigint, big bigint unsigned, price decimal(10,2), heat double, warm float, \
         city varchar(40) character set utf8mb4 collate utf8mb4_unicode_ci, town varchar(40) character set latin1, code char(10) character set utf8mb4, \
         mood enum('sad','ok'), at timestamp(3) null, local datetime(6), day date, lap time(3), raw varbinary(40), \
         key (id), key (big), key (price), key (heat), key (warm), key (city), key (town), key (code), key (at), key (local), key (day), key (lap), key (raw))",
    )
    .await;
    let mut rows = String::new();
    for n in 0..2000 {
        let comma = if n == 0 { "" } else { "," };
        let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
        write!(
            rows,
            "{comma} ({n}, {n}, {n}.25, {n}.5, {n}.5, '{n} Røros', '{n} Røros', 'c{n}', 'ok', '2026-11-21 {hour:02}:{minute:02}:{second:02}', \
             '2026-11-21 {hour:02}:{minute:02}:{second:02}', '2026-11-21' + interval {n} day, '{hour:02}:{minute:02}:{second:02}', 'r{n}')",
        )
        .expect("a String");
    }
    run(
        conn,
        &format!(
            "INSERT INTO t (id, big, price, heat, warm, city, town, code, mood, at, local, day, lap, raw) VALUES {rows}"
        ),
    )
    .await;
    conn.query_drop("ANALYZE TABLE t").await.expect("analyzed");
    let columns = [
        ("id", "bigint"),
        ("big", "bigint unsigned"),
        ("price", "decimal(10,2)"),
        ("heat", "double"),
        ("warm", "float"),
        ("city", "varchar(40)"),
        ("town", "varchar(40)"),
        ("code", "char(10)"),
        ("mood", "enum('sad','ok')"),
        ("at", "timestamp(3)"),
        ("local", "datetime(6)"),
        ("day", "date"),
        ("lap", "time(3)"),
        ("raw", "varbinary(40)"),
    ];
    let columns =
        columns.map(|(name, declared)| Column { name: name.into(), declared: declared.into() }).into_iter().collect();
    Stage { table: Table { name: TableName::bare("t"), columns, key: Vec::new() }, rows: Vec::new() }
}

impl Stage {
    /// How many rows the server finds, and the index that it uses.
    async fn found(&self, conn: &mut Conn, text: &str) -> (u64, Option<String>) {
        let predicate = self.bind(text).unwrap_or_else(|| panic!("{text} is bound"));
        let (mut sql, mut params) = (String::new(), Vec::new());
        predicate.push_sql(&mut sql, &mut params);
        let params: Vec<_> = params.iter().map(cell).collect();
        let count = ask(conn, &format!("SELECT count(*) FROM t WHERE {sql}"), &params).await.expect(text);
        let plan: Vec<mysql_async::Row> =
            ask(conn, &format!("EXPLAIN FORMAT=TRADITIONAL SELECT * FROM t WHERE {sql}"), &params).await.expect(text);
        (count[0], plan[0].get::<Option<String>, _>("key").expect("a key"))
    }
}

#[tokio::test]
async fn an_index_serves_equality_and_ranges() {
    let (_database, mut conn, _) = stage().await;
    let stage = filled(&mut conn).await;
    for (text, key, count) in [
        ("id = 5", "id", 1),
        ("id in (5, 7)", "id", 2),
        ("id between 10 and 19", "id", 10),
        ("id = 5.0", "id", 1),
        ("big < 3", "big", 3),
        ("price = 5.25", "price", 1),
        ("price < 3", "price", 3),
        ("heat = 5.5", "heat", 1),
        ("heat < 3", "heat", 3),
        ("warm = 5.5", "warm", 1),
        ("city = 'Tromso 5'", "city", 0),
        ("city = '5 Røros'", "city", 1),
        ("city = '5 røros'", "city", 0),
        ("city in ('5 Røros', '7 Røros', 'x')", "city", 2),
        ("town = '5 Røros'", "town", 1),
        ("code in ('c5', 'C7', 'c8')", "code", 2),
        ("code = 'c5'", "code", 1),
        ("at >= '2026-11-21T00:33:10Z'", "at", 10),
        ("at = '2026-11-21T01:00:01+01:00'", "at", 1),
        ("local < '2026-11-21T00:00:05'", "local", 5),
        ("day = '2026-11-25'", "day", 1),
        ("lap < '00:00:05'", "lap", 5),
        ("raw = x'7235'", "raw", 1),
    ] {
        assert_eq!(stage.found(&mut conn, text).await, (count, Some(key.to_owned())), "{text}");
    }
}

#[tokio::test]
async fn what_a_column_cannot_hold_is_found_nowhere() {
    let (_database, mut conn, _) = stage().await;
    let stage = filled(&mut conn).await;
    for text in [
        "town = '😀'",
        "town in ('😀', '日本')",
        "mood = '😀'",
        "mood = '2'",
        "at > '2200-01-01T00:00:00Z'",
        "at < '1900-01-01'",
        "at = '0000-00-00'",
        "day = '0000-00-00'",
        "id = 9223372036854775808",
        "id > 1e60",
        "big < -1",
        "warm > 3.4e38",
        "price > 100000000.5",
        "lap > '838:59:59'",
    ] {
        assert_eq!(stage.found(&mut conn, text).await.0, 0, "{text}");
    }
    for text in [
        "town <> '😀'",
        "at < '2200-01-01'",
        "at > '1900-01-01'",
        "big > -1",
        "warm < 3.4e38",
        "id < 1e60",
        "day > '0000-00-00'",
    ] {
        assert_eq!(stage.found(&mut conn, text).await.0, 2000, "{text}");
    }
}

#[tokio::test]
async fn long_lists_and_deep_conditions_are_answered() {
    let (_database, mut conn, _) = stage().await;
    let stage = filled(&mut conn).await;
    let list = |spell: &dyn Fn(u32) -> String| (0..600).map(|n| spell(n * 5)).collect::<Vec<_>>().join(",");
    for text in [
        format!("id in ({})", list(&|n| n.to_string())),
        format!("id in ({})", list(&|n| if n.is_multiple_of(2) { n.to_string() } else { format!("{n}.0") })),
        format!("code in ({})", list(&|n| format!("'c{n}'"))),
        format!("lap in ({})", list(&|n| format!("'{:02}:{:02}:{:02}'", n / 3600, n / 60 % 60, n % 60))),
        format!(
            "raw in ({})",
            list(&|n| format!("x'{}'", format!("r{n}").bytes().map(|b| format!("{b:02x}")).collect::<String>()))
        ),
    ] {
        assert_eq!(stage.found(&mut conn, &text).await.0, 400, "{}…", &text[..40]);
    }
    let deep = format!("{}id < 10{}", "(not ".repeat(30), ") is true".repeat(30));
    assert_eq!(stage.found(&mut conn, &deep).await.0, 10);
    let pattern = format!("{}x%", "%o".repeat(400));
    assert_eq!(stage.found(&mut conn, &format!("city like '{pattern}'")).await.0, 0);
}

/// In MariaDB a list of a thousand and more becomes a table.
#[tokio::test]
async fn lists_of_thousands_in_the_claims_are_answered() {
    let (_database, mut conn, _) = stage().await;
    let stage = filled(&mut conn).await;
    let ids: Vec<_> = (0..3000).map(|n| n * 3).collect();
    let names: Vec<_> = (0..3000).map(|n| format!("{} Røros", n * 4)).collect();
    let claims = serde_json::json!({ "ids": ids, "names": names });
    for (text, count) in [("id in claims.ids", 667), ("city in claims.names", 500), ("id not in claims.ids", 1333)] {
        let filter = rowcast::filter::Filter::parse(text).expect(text);
        let claims = claims.as_object().expect("an object");
        let predicate = filter.bind(&stage.table, rowcast::filter::Dialect::Mysql, claims).expect(text);
        let (mut sql, mut params) = (String::new(), Vec::new());
        predicate.push_sql(&mut sql, &mut params);
        let params: Vec<_> = params.iter().map(cell).collect();
        let found: Vec<u64> =
            ask(&mut conn, &format!("SELECT count(*) FROM t WHERE {sql}"), &params).await.expect(text);
        assert_eq!(found, [count], "{text}");
    }
}
