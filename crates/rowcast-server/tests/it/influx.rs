//! What Telegraf sends, as it sends it: line protocol, gzip, precision; and what it is answered.

use std::io::Write;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::program::{Running, client, database, rowcast};

const SCHEMA: &str = "PRAGMA journal_mode = wal;
    CREATE TABLE cpu (id INTEGER PRIMARY KEY, time INTEGER NOT NULL, host TEXT, cpu TEXT, usage_idle REAL, usage_user REAL);
    CREATE TABLE notes (id INTEGER PRIMARY KEY, time DATETIME, host TEXT, free INTEGER, ok BOOLEAN, note TEXT)";

async fn server(environment: &[(&str, &str)]) -> (tempfile::TempDir, Running) {
    let folder = tempfile::tempdir().expect("a folder");
    database(folder.path()).execute_batch(SCHEMA).expect("tables");
    let mut command =
        rowcast(folder.path(), &["serve", "--database", "shop.db", "--listen", "127.0.0.1:0", "--data", "data"]);
    command.envs(environment.iter().copied());
    let server = Running::start(command).await;
    (folder, server)
}

async fn write(server: &Running, path: &str, body: &str) -> Response {
    // The headers of telegraf's outputs.influxdb_v2.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(body.as_bytes()).expect("in memory");
    let request = client()
        .post(format!("{}{path}", server.url))
        .header("authorization", "Token secret")
        .header("content-type", "text/plain; charset=utf-8")
        .header("content-encoding", "gzip")
        .header("user-agent", "Telegraf/1.38.0 Go/1.25.3");
    request.body(gzip.finish().expect("in memory")).send().await.expect("an answer")
}

fn rows(folder: &std::path::Path, sql: &str) -> Vec<String> {
    let connection = database(folder);
    let mut rows = connection.prepare(sql).expect("a query");
    rows.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
}

#[tokio::test]
async fn a_batch_of_telegraf_is_stored() {
    let (folder, server) = server(&[("ROWCAST__INFLUX__TABLES", "{ disk = \"notes\" }")]).await;
    let body = "cpu,cpu=cpu-total,host=my\\ host usage_idle=97.5,usage_user=1i,usage_irq=0 1718000000123456789\n\
                cpu,cpu=cpu0,host=a usage_idle=96 1718000001000000000\n\
                disk,host=a free=12345678901i,ok=true,note=\"a, \\\"b\\\"\" 1718000000123000000\n";
    let answer = write(&server, "/api/v2/write?bucket=telegraf&org=x&precision=ns", body).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let cpu = rows(
        folder.path(),
        "SELECT time || '|' || host || '|' || cpu || '|' || usage_idle || '|' || coalesce(usage_user, '-') FROM cpu ORDER BY id",
    );
    assert_eq!(cpu, ["1718000000123|my host|cpu-total|97.5|1.0", "1718000001000|a|cpu0|96.0|-"]);
    let notes = rows(folder.path(), "SELECT time || '|' || free || '|' || ok || '|' || note FROM notes");
    assert_eq!(notes, ["2024-06-10 06:13:20.123|12345678901|1|a, \"b\""]);

    let answer = write(&server, "/write?db=telegraf&precision=s", "cpu,host=v1 usage_idle=1 1718000002\n").await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(rows(folder.path(), "SELECT host || time FROM cpu WHERE host = 'v1'"), ["v11718000002000"]);
    assert_eq!(server.get("/ping").await.status(), StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn lines_that_are_not_stored_are_named_and_the_others_are() {
    let (folder, server) = server(&[]).await;
    let body = "cpu,host=a usage_idle=1 1\ncpu usage_idle=\nmem used=1i\ncpu usage_idle=\"much\" 2\ncpu,host=b usage_idle=2 3\n";
    let answer = write(&server, "/api/v2/write?bucket=x", body).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let error: Value = answer.json().await.expect("JSON");
    let message = error["message"].as_str().expect("text");
    assert_eq!(error["code"], "invalid");
    assert!(
        message.starts_with("partial write: 3 of 5 lines were not stored: line 2: not line protocol: "),
        "{message}"
    );
    assert!(
        message.contains("line 3: there is no table `mem` for this measurement; line 4: usage_idle: expected"),
        "{message}"
    );
    assert_eq!(rows(folder.path(), "SELECT host FROM cpu ORDER BY id"), ["a", "b"]);
}

#[tokio::test]
async fn what_is_no_body_is_refused_in_influxdbs_words() {
    let (_folder, server) = server(&[("ROWCAST__LIMITS__BODY_BYTES", "1KiB")]).await;
    let answer = write(&server, "/api/v2/write?precision=weeks", "cpu usage_idle=1").await;
    let error: Value = answer.json().await.expect("JSON");
    assert_eq!(error["message"], "\"weeks\" is no precision; write ns, us, ms or s");
    // Small when it is packed.
    let answer = write(&server, "/api/v2/write", &"cpu usage_idle=1\n".repeat(1_000)).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let answer = write(&server, "/write", "cpu usage_idle=").await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(answer.json::<Value>().await.expect("JSON")["error"].is_string());
    let url = format!("{}/api/v2/write", server.url);
    let answer = client().post(url).header("content-encoding", "zstd").body("x").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn the_doors_can_be_shut() {
    let (_folder, server) = server(&[("ROWCAST__INFLUX__ENABLED", "false")]).await;
    assert_eq!(write(&server, "/api/v2/write", "cpu usage_idle=1").await.status(), StatusCode::NOT_FOUND);
}
