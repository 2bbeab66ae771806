//! Rows of a table whose own policies decide are not changed: the gateway would do it as itself.

use rowcast::postgres::Capture;
use rowcast::protocol::Code;
use serde_json::json;

use super::world::{Stage, ada, messages};
use crate::rules::world::identity;

#[tokio::test]
async fn rows_of_a_table_with_policies_are_neither_changed_nor_found_out_about() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut ada = world.client(&identity(ada()));
    // 1 is seen, 4 is not, 99 is not there.
    for id in [1, 4, 99] {
        let filter = format!("id = {id}");
        for message in [
            json!({ "type": "update", "table": "messages", "set": { "body": "x" }, "where": filter }),
            json!({ "type": "delete", "table": "messages", "where": filter }),
            json!({ "type": "write", "writes": [{ "require": "messages", "where": filter }] }),
            json!({ "type": "write", "writes": [{ "insert": "messages", "row": { "id": id } }] }),
        ] {
            ada.say(&message);
            let told = ada.refused(Code::Forbidden).await;
            assert!(!told.contains(&id.to_string()), "{told}");
        }
    }
    let standing = stage.database.connect().await.expect("connected");
    let rows = standing.query_one("SELECT count(*), count(*) FILTER (WHERE body = 'x') FROM messages", &[]).await;
    let rows = rows.expect("counted");
    assert_eq!((rows.get::<_, i64>(0), rows.get::<_, i64>(1)), (5, 0));
}
