//! Values of every type, as they are read, and as they are written again.

use rowcast::event::{Row, Value};
use rowcast::store::{Insert, OrderBy, Select, Store};

use super::My;
use crate::store_contract::{all, rows, table, take};

const TYPES: &str = "\
CREATE TABLE t (id int PRIMARY KEY, ti tinyint, bo boolean, bu bigint unsigned, de decimal(30,10), fl float, do double, b1 bit(1),
b64 bit(64), ch char(5), vc varchar(10) CHARACTER SET latin1, tx longtext, bn binary(4), vb varbinary(10), bl blob,
en enum('a','it''s'), se set('x','y','z'), ye year, da date, ti0 time, ti6 time(6), dt datetime, dt3 datetime(3),
ts timestamp NULL, ts6 timestamp(6) NULL, js json, ge point)";

const ROWS: &str = "\
INSERT INTO t VALUES (1, -128, true, 18446744073709551615, '12345678901234567890.1234567891', 0.1, 0.1, b'1',
b'1111111111111111111111111111111111111111111111111111111111111111', 'ab ', 'Grüße', '🚀\\n', x'0100', x'00ff', x'', 'it''s',
'x,z', 2026, '2026-11-21', '-838:59:59', '01:02:03.5', '2026-11-21 05:13:56', '2026-11-21 05:13:56.12',
'2026-11-21 05:13:56', '2026-11-21 05:13:56.000001', '{\"a\": [1, 2.5]}', ST_GeomFromText('POINT(1 2)')),
(2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
NULL, NULL, NULL, NULL, NULL),
(3, 127, false, 9223372036854775807, '-0.5', 3.4e38, -1.7976931348623157e308, b'0', b'101', '', '', '', x'', x'', x'ff', 'a',
'', 1901, '0001-01-01', '838:59:59', '-00:00:00.000001', '1000-01-01 00:00:00', '9999-12-31 23:59:59.999',
'1970-01-01 00:00:01', '2038-01-19 03:14:07.999999', '[]', NULL)";

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn number(digits: &str) -> Value {
    Value::Number(digits.into())
}

fn bytes(bytes: &[u8]) -> Value {
    Value::Bytes(bytes.into())
}

#[tokio::test]
async fn every_type_is_read_as_the_table_of_kinds_says() {
    let db = My::with(TYPES).await;
    db.database.run(ROWS).await;
    let t = table(&*db.store, "t").await;
    let read = take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await;
    let mut point = vec![0; 4];
    point.extend([1, 1, 0, 0, 0]);
    point.extend(1.0f64.to_le_bytes());
    point.extend(2.0f64.to_le_bytes());
    let wanted: Vec<Value> = vec![
        Value::Int(1),
        Value::Int(-128),
        Value::Int(1),
        number("18446744073709551615"),
        number("12345678901234567890.1234567891"),
        Value::Real(0.1),
        Value::Real(0.1),
        Value::Int(1),
        number("18446744073709551615"),
        text("ab"),
        text("Grüße"),
        text("🚀\n"),
        bytes(&[1, 0, 0, 0]),
        bytes(&[0, 255]),
        bytes(&[]),
        text("it's"),
        text("x,z"),
        Value::Int(2026),
        text("2026-11-21"),
        text("-838:59:59"),
        text("01:02:03.500000"),
        text("2026-11-21 05:13:56"),
        text("2026-11-21 05:13:56.120"),
        text("2026-11-21 05:13:56+00"),
        text("2026-11-21 05:13:56.000001+00"),
        Value::Json(r#"{"a": [1, 2.5]}"#.into()),
        bytes(&point),
    ];
    assert_eq!(read[0].values[..], wanted[..]);
    assert!(read[1].values[1..].iter().all(|value| *value == Value::Null));
    let third = |name: &str| read[2].values[t.column(name).expect(name)].clone();
    assert_eq!(third("fl"), Value::Real(3.4e38));
    assert_eq!(third("do"), Value::Real(f64::MIN));
    assert_eq!(third("de"), number("-0.5000000000"));
    assert_eq!(third("b64"), Value::Int(5));
    assert_eq!(third("ti6"), text("-00:00:00.000001"));
    assert_eq!(third("dt3"), text("9999-12-31 23:59:59.999"));
    assert_eq!(third("ts6"), text("2038-01-19 03:14:07.999999+00"));
}

#[tokio::test]
async fn what_was_read_can_be_written_again() {
    let db = My::with(TYPES).await;
    db.database.run(ROWS).await;
    let t = table(&*db.store, "t").await;
    let read = take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await;
    db.database.run("DELETE FROM t").await;
    let again = |row: &Row| row.values.iter().cloned().enumerate().collect();
    let inserted = db.store.insert(Insert::new(t.clone(), read.iter().map(again).collect())).await.expect("inserted");
    assert_eq!((inserted.count, &inserted.rejected[..]), (3, &[][..]));
    assert_eq!(take(db.store.snapshot(all(&t)).await.expect("a snapshot")).await, read);
}

#[tokio::test]
async fn zero_dates_are_told_as_they_are() {
    let db = My::with("CREATE TABLE t (id int PRIMARY KEY, d date, t datetime(3), s timestamp NULL)").await;
    db.database
        .run("SET sql_mode = ''; INSERT INTO t VALUES (1, '0000-00-00', '0000-00-00', '0000-00-00'), (2, '2026-00-00', NULL, NULL)")
        .await;
    let t = table(&*db.store, "t").await;
    assert_eq!(
        rows(&*db.store, all(&t)).await,
        [r#"(1,"0000-00-00","0000-00-00 00:00:00.000","0000-00-00 00:00:00+00")"#, r#"(2,"2026-00-00",null,null)"#]
    );
}

#[tokio::test]
async fn odd_names_and_hidden_columns_are_read() {
    let db = My::with(
        "CREATE TABLE `a``b:c?` (`i``d` int PRIMARY KEY, `x y` int INVISIBLE DEFAULT 7, `select` varchar(9), `:p` int)",
    )
    .await;
    db.database.run("INSERT INTO `a``b:c?` (`i``d`, `select`, `:p`) VALUES (1, '?', 2)").await;
    let t = table(&*db.store, "a`b:c?").await;
    assert_eq!(rows(&*db.store, all(&t)).await, [r#"(1,7,"?",2)"#]);
    let row = vec![(0, Value::Int(2)), (1, Value::Int(8)), (2, text("it's")), (3, Value::Int(3))];
    assert_eq!(db.store.insert(Insert::new(t.clone(), vec![row])).await.expect("inserted").count, 1);
    assert_eq!(rows(&*db.store, all(&t)).await, [r#"(1,7,"?",2)"#, r#"(2,8,"it's",3)"#]);
}

#[tokio::test]
async fn texts_are_ordered_by_their_bytes_and_keys_as_the_server_orders_them() {
    let db = My::with(
        "CREATE TABLE t (k varchar(9) PRIMARY KEY, a varchar(9) CHARACTER SET latin1); \
         INSERT INTO t VALUES ('b', 'a'), ('A', 'Z'), ('C', 'ä'), ('õ', NULL)",
    )
    .await;
    let t = table(&*db.store, "t").await;
    assert_eq!(rows(&*db.store, all(&t)).await, [r#"("A","Z")"#, r#"("b","a")"#, r#"("C","ä")"#, r#"("õ",null)"#]);
    let by = Select { order_by: vec![OrderBy { column: 1, descending: false }], ..all(&t) };
    assert_eq!(rows(&*db.store, by).await, [r#"("õ",null)"#, r#"("A","Z")"#, r#"("b","a")"#, r#"("C","ä")"#]);
}
