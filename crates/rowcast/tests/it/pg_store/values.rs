//! Values as they are read and as they are written.

use rowcast::event::Value;
use rowcast::postgres::Types;
use rowcast::store::Store;

use super::Pg;
use crate::store_contract::{all, insert, int, rows, string, table, take};

/// A column of every type, with a few values of it.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767"]),
    ("bigint", &["9223372036854775807", "-9223372036854775808"]),
    ("real", &["'1.5'", "'3.4028235e38'", "'NaN'", "'-Infinity'"]),
    ("double precision", &["'0.1'", "'1e308'", "'5e-324'", "'Infinity'"]),
    ("numeric", &["'12345678901234567890.123456789'", "'NaN'", "'1.50'"]),
    ("numeric(6,2)", &["'1.5'", "'-1234.56'"]),
    ("money", &["'1234.5'"]),
    ("text", &["'Grüße\n\t\"'", "''"]),
    ("varchar(5)", &["'abc'"]),
    ("char(5)", &["'ab'"]),
    ("\"char\"", &["'x'"]),
    ("name", &["'somebody'"]),
    ("bytea", &["'\\x00ff'", "''"]),
    ("date", &["'2026-11-21'", "'infinity'", "'0044-03-15 BC'"]),
    ("time", &["'10:11:12.5'"]),
    ("timetz", &["'10:11:12+02'"]),
    ("timestamp", &["'2026-11-21 10:11:12.123456'", "'-infinity'"]),
    ("timestamptz", &["'2026-11-21 10:11:12.5+05:30'", "'infinity'", "'0044-03-15 10:00:00+00 BC'"]),
    ("interval", &["'1 year 2 days 03:04:05.6'", "'-1 day'"]),
    ("uuid", &["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"]),
    ("json", &["'{\"a\": 1, \"a\":2 }'", "'null'"]),
    ("jsonb", &["'{\"b\": [1, 1e400], \"a\": null}'"]),
    ("xml", &["'<a/>'"]),
    ("inet", &["'192.168.0.1'", "'10.0.0.0/8'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("bit(3)", &["B'101'"]),
    ("varbit", &["B'11010'"]),
    ("point", &["'(1.5,-2)'"]),
    ("box", &["'(1,2),(0,0)'"]),
    ("polygon", &["'((0,0),(1,1),(1,0))'"]),
    ("tsvector", &["'a:1 b:2'"]),
    ("int4range", &["'[1,5)'", "'empty'"]),
    ("tstzrange", &["'[2026-01-01 00:00+00,)'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("oid", &["'4294967295'"]),
    ("int[]", &["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={1,2}'"]),
    ("text[]", &["ARRAY['a\"b', NULL, 'NULL', '', 'c,d']"]),
    ("timestamptz[]", &["ARRAY['2026-11-21 10:11:12.5+05:30'::timestamptz]"]),
    ("jsonb[]", &["ARRAY['{\"a\": 1}'::jsonb, '[1]']"]),
    ("mood", &["'glad'"]),
    ("positive", &["7"]),
    ("pair", &["'(1,\"a,\"\"b\"\"\")'", "'(,)'"]),
    ("pair[]", &["ARRAY['(1,x)'::pair, NULL]"]),
];

const MAKE: &str = "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS int CHECK (value > 0); \
                    CREATE TYPE pair AS (a int, b text);";

#[tokio::test]
async fn values_are_what_to_jsonb_says() {
    let columns: Vec<String> = TYPES.iter().enumerate().map(|(n, (name, _))| format!("c{n} {name}")).collect();
    let mut sql = format!("{MAKE} CREATE TABLE t (id serial PRIMARY KEY, {});", columns.join(", "));
    for (n, (name, values)) in TYPES.iter().enumerate() {
        for value in *values {
            sql.push_str(&format!("INSERT INTO t (c{n}) VALUES (({value})::{name});"));
        }
    }
    // What the server or the role prefers is not seen.
    sql.push_str("ALTER DATABASE ");
    let db = Pg::with("SELECT").await;
    sql.push_str(&format!(
        "{0} SET datestyle = 'German'; ALTER DATABASE {0} SET timezone = 'Asia/Kolkata'",
        db.database.name
    ));
    db.database.run(&sql).await;
    let client = db.database.connect().await.expect("connected");
    client.batch_execute("SET timezone = 'UTC'; SET datestyle = 'ISO'").await.expect("set");
    let t = table(&*db.store, "t").await;
    let read = take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await;
    let types = Types::new();
    let oids = client
        .query("SELECT atttypid FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 1 ORDER BY attnum", &[])
        .await
        .expect("types");
    let oids: Vec<u32> = oids.iter().map(|row| row.get(0)).collect();
    types.learn(&client, &oids.iter().map(|oid| (*oid, -1)).collect::<Vec<_>>()).await.expect("learned");
    let mut seen = 0;
    for row in &read {
        let Value::Int(id) = row.values[0] else { panic!("an id") };
        let (n, value) =
            row.values.iter().enumerate().skip(1).find(|(_, value)| **value != Value::Null).expect("a value");
        let sql = format!("SELECT to_jsonb(c{})::text, to_json(c{0})::text FROM t WHERE id = {id}", n - 1);
        let told = client.query_one(&sql, &[]).await.expect("a value");
        // `to_jsonb` sorts the keys of a value of type json, which has its own text.
        let column = if TYPES[n - 1].0 == "json" { 1 } else { 0 };
        let expected = types.get(oids[n - 1]).from_json(told.get(column));
        if expected != Value::Null {
            // NaN is not equal to itself.
            assert_eq!(format!("{value:?}"), format!("{expected:?}"), "{}", TYPES[n - 1].0);
        }
        seen += 1;
    }
    assert_eq!(seen, TYPES.iter().map(|(_, values)| values.len()).sum::<usize>());
}

#[tokio::test]
async fn what_was_read_can_be_written() {
    let columns: Vec<String> = TYPES.iter().enumerate().map(|(n, (name, _))| format!("c{n} {name}")).collect();
    let db = Pg::with(&format!("{MAKE} CREATE TABLE t (id serial PRIMARY KEY, {})", columns.join(", "))).await;
    for (n, (name, values)) in TYPES.iter().enumerate() {
        for value in *values {
            db.database.run(&format!("INSERT INTO t (c{n}) VALUES (({value})::{name})")).await;
        }
    }
    let t = table(&*db.store, "t").await;
    let read = take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await;
    let without_id: Vec<Vec<Value>> = read.iter().map(|row| row.values[1..].to_vec()).collect();
    let again = without_id.iter().map(|row| row.iter().cloned().enumerate().map(|(n, value)| (n + 1, value)).collect());
    let inserted = db.store.insert(rowcast::store::Insert::new(t.clone(), again.collect())).await;
    assert_eq!(inserted.expect("inserted").rejected, []);
    let read = take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await;
    let (first, second) = read.split_at(without_id.len());
    for (one, other) in first.iter().zip(second) {
        // NaN is not equal to itself.
        assert_eq!(format!("{:?}", &one.values[1..]), format!("{:?}", &other.values[1..]));
    }
}

#[tokio::test]
async fn json_becomes_arrays_and_composites() {
    let db = Pg::with(&format!("{MAKE} CREATE TABLE t (id int, a int[], p pair, ps pair[], j jsonb)")).await;
    let t = table(&*db.store, "t").await;
    let json = |text: &str| Value::Json(text.into());
    let row: [Value; 5] =
        [int(1), json("[1, null, 3]"), json(r#"{"b": "x", "a": 2}"#), json(r#"[{"a": 1, "b": "y"}]"#), string("plain")];
    assert_eq!(insert(&*db.store, &t, &[&row]).await.rejected, []);
    assert_eq!(rows(&*db.store, all(&t)).await, [r#"(1,[1,null,3],{"a":2,"b":"x"},[{"a":1,"b":"y"}],"plain")"#]);
}

#[tokio::test]
async fn nothing_is_cut_off_in_silence() {
    let db = Pg::with("CREATE TABLE t (id int, v varchar(3), c char(2), b bit(3))").await;
    let t = table(&*db.store, "t").await;
    let inserted = insert(
        &*db.store,
        &t,
        &[
            &[int(1), string("abc"), string("ab"), string("101")],
            &[int(2), string("abcd"), string("ab"), string("101")],
            &[int(3), string("abc"), string("abc"), string("101")],
            &[int(4), string("abc"), string("ab"), string("1")],
        ],
    )
    .await;
    assert_eq!(inserted.rejected.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(inserted.rejected[0].1.contains("too long"), "{:?}", inserted.rejected);
}
