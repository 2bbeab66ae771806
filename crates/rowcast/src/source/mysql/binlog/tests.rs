//! Bytes that nobody promised to be right: whatever comes, nothing panics and nothing takes forever.

use proptest::prelude::*;

use super::bytes::Bytes;
use super::json::{self, diff};
use super::map::Map;
use super::rows::{Rows, RowsKind};
use super::statement::Statement;
use super::tables::Tables;

/// A table map of `CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(20,4), s VARCHAR(20), e ENUM('a','b'), j JSON)` with full metadata.
fn a_map() -> Vec<u8> {
    let mut body = vec![1, 0, 0, 0, 0, 0, 1, 0, 1, b'd', 0, 1, b't', 0, 5, 3, 246, 15, 254, 245];
    body.extend([7, 20, 4, 80, 0, 247, 1, 4, 0b11110]);
    body.extend([1, 1, 0, 2, 1, 45, 4, 11, 2, b'i', b'd', 1, b'd', 1, b's', 1, b'e', 1, b'j']);
    body.extend([6, 5, 2, 1, b'a', 1, b'b', 8, 1, 0]);
    body
}

#[test]
fn a_map_with_full_metadata_is_read() {
    let map = Map::parse(&a_map(), false).expect("a map");
    let shape = Tables::default().shape(&map).expect("a shape");
    let columns = shape.table.columns.iter().map(|column| format!("{} {}", column.name, column.declared));
    let wanted = ["id int", "d decimal(20,4)", "s varchar(80)", "e enum('a','b')", "j json"];
    assert_eq!(columns.collect::<Vec<_>>(), wanted);
    assert_eq!(shape.table.key, [0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in any::<u8>()) {
        let _ = Map::parse(&bytes, kind & 1 == 1);
        let _ = Statement::parse(&bytes, kind & 1 == 1).map(|statement| statement.meaning());
        let _ = json::text(&bytes);
        let mut framed = vec![kind & 3];
        framed.extend(&bytes);
        let _ = json::text(&framed);
        let mut document = json::parse(&[4, 1]).expect("true");
        let _ = diff::apply(&mut document, &bytes);
        let shape = Tables::default().shape(&Map::parse(&a_map(), false).expect("a map")).expect("a shape");
        for kind in [23, 24, 25, 30, 31, 32, 39, 166, 167, 170] {
            let kind = RowsKind::of(kind).expect("rows");
            let mut head = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 5, 31];
            head.extend(&bytes);
            for body in [&bytes, &head] {
                if let Ok(mut rows) = Rows::parse(kind, body, &shape) {
                    while let Ok(Some(_)) = rows.next() {}
                }
            }
        }
        for cell in &shape.cells {
            let _ = cell.read(&mut Bytes(&bytes));
        }
    }

    #[test]
    fn a_map_that_was_changed_is_an_answer(at in 0..60_usize, byte in any::<u8>(), end in 0..80_usize) {
        let mut body = a_map();
        if let Some(place) = body.get_mut(at) {
            *place = byte;
        }
        body.truncate(end);
        if let Ok(map) = Map::parse(&body, byte & 1 == 1) {
            let _ = Tables::default().shape(&map);
        }
    }

    #[test]
    fn any_text_is_a_statement(sql in ".{0,80}", verb in 0..6_usize) {
        let verb = ["CREATE TABLE ", "ALTER TABLE ", "DROP TABLE ", "RENAME TABLE ", "XA COMMIT ", ""][verb];
        let _ = Statement { database: "d".into(), sql: format!("{verb}{sql}") }.meaning();
    }
}
