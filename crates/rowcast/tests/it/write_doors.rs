//! Rows changed and removed over HTTP, where everybody may do everything.

use reqwest::{Client, Method, StatusCode};
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::source::sqlite::SqliteSettings;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

struct World {
    _gateway: Gateway,
    folder: TempDir,
    base: String,
}

impl World {
    async fn new(schema: &str) -> Self {
        // Another test of this program may have done so already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("world.db");
        rusqlite::Connection::open(&path).expect("opened").execute_batch(schema).expect("made");
        let database = Database::sqlite("world", &path, SqliteSettings::default());
        let gateway = Gateway::builder().database(database).log(LogPlace::Memory).start().await.expect("started");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let router = gateway.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { _gateway: gateway, folder, base }
    }

    async fn ask(&self, method: Method, target: &str, body: Option<Json>) -> (StatusCode, Json) {
        let mut request = Client::new().request(method, format!("{}{target}", self.base));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let said = answer.headers().get("rowcast-position").map(|said| said.to_str().expect("text").to_owned());
        let body: Json = answer.json().await.expect("JSON");
        assert_eq!(body["position"].as_str(), said.as_deref(), "the header says what the body says");
        assert_eq!(status.is_success(), said.is_some());
        (status, body)
    }

    async fn refused(&self, method: Method, target: &str, body: Option<Json>) -> (u16, String) {
        let (status, body) = self.ask(method, target, body).await;
        (status.as_u16(), body["error"]["message"].as_str().expect("a message").to_owned())
    }

    fn rows(&self) -> Vec<String> {
        let database = rusqlite::Connection::open(self.folder.path().join("world.db")).expect("opened");
        let mut rows = database.prepare("SELECT id || coalesce(name, '-') || n FROM t ORDER BY id").expect("a query");
        rows.query_map([], |row| row.get(0)).expect("rows").collect::<Result<_, _>>().expect("texts")
    }
}

const SCHEMA: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, n INTEGER NOT NULL CHECK (n < 100));
    INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 3)";

#[tokio::test]
async fn rows_are_changed_and_removed() {
    let world = World::new(SCHEMA).await;
    let (status, body) = world.ask(Method::PATCH, "/v1/tables/t?where=n%20%3E%201", Some(json!({ "n": "7" }))).await;
    assert_eq!((status.as_u16(), &body["updated"]), (200, &json!(2)), "text becomes the number that it is");
    let (_, body) = world.ask(Method::DELETE, "/v1/tables/t?where=id%20%3D%203&rows=1", None).await;
    assert_eq!(body["deleted"], 1);
    let writes = json!({ "writes": [
        { "insert": "t", "row": { "id": 4, "name": "d", "n": 4 } },
        { "update": "t", "set": { "name": null }, "where": "id = 2", "rows": 1 },
        { "require": "t", "where": "id = 3", "rows": 0 },
        { "delete": "t", "where": "id = 1" }
    ] });
    let (_, body) = world.ask(Method::POST, "/v1/write", Some(writes)).await;
    assert_eq!(body["written"], json!([1, 1, 0, 1]));
    assert_eq!(world.rows(), ["2-7", "4d4"]);
    let (_, body) = world.ask(Method::DELETE, "/v1/tables/t?where=true", None).await;
    assert_eq!(body["deleted"], 2);
}

#[tokio::test]
async fn what_is_refused_says_why_and_leaves_everything() {
    let world = World::new(SCHEMA).await;
    let one = "/v1/tables/t?where=id%20%3D%201";
    let set = || Some(json!({ "n": 5 }));
    for (method, target, body, status, part) in [
        (Method::PATCH, "/v1/tables/t", set(), 400, "missing field `where`"),
        (Method::DELETE, "/v1/tables/t", None, 400, "missing field `where`"),
        (Method::DELETE, "/v1/tables/t?where=", None, 400, "`where` is empty"),
        (Method::DELETE, "/v1/tables/t?where=idd%20%3D%201", None, 400, "idd"),
        (Method::PATCH, one, Some(json!({})), 400, "sets no column"),
        (Method::PATCH, one, Some(json!([1])), 400, "`set` is not an object"),
        (Method::PATCH, one, Some(json!({ "nn": 1 })), 400, "no column `nn`"),
        (Method::PATCH, one, Some(json!({ "n": "many" })), 400, "n: "),
        (Method::PATCH, one, Some(json!({ "name": "b" })), 409, "there is such a row already (name)"),
        (Method::PATCH, one, Some(json!({ "n": null })), 409, "may not be null (n)"),
        (Method::PATCH, one, Some(json!({ "n": 100 })), 409, "a check of the table"),
        (Method::PATCH, "/v1/tables/t?where=true&rows=2", set(), 409, "more than 2 such rows"),
        (Method::DELETE, "/v1/tables/t?where=id%20%3D%209&rows=1", None, 409, "0 such rows, not 1"),
        (Method::DELETE, "/v1/tables/t?where=true&rows=10001", None, 413, "at most 10000"),
        (Method::DELETE, "/v1/tables/nothing?where=true", None, 404, "nothing"),
        (Method::POST, "/v1/write", Some(json!({ "writes": [] })), 400, "0 changes"),
        (Method::POST, "/v1/write", Some(json!({ "writes": [{ "delete": "t" }] })), 400, "needs `where`"),
        (Method::POST, "/v1/write", Some(json!({ "writes": [{ "insert": "t", "where": "true" }] })), 400, "has `row`"),
        (
            Method::POST,
            "/v1/write",
            Some(json!({ "writes": [{ "insert": "t", "delete": "t", "where": "x" }] })),
            400,
            "has one of",
        ),
        (
            Method::POST,
            "/v1/write",
            Some(json!({ "writes": [
                { "delete": "t", "where": "true" }, { "insert": "t", "row": { "id": 1 } }
            ] })),
            409,
            "write 2: a column may not be null (n)",
        ),
    ] {
        let (found, message) = world.refused(method.clone(), target, body.clone()).await;
        assert!(found == status && message.contains(part), "{method} {target} {body:?}: {found} {message}");
    }
    let many: Vec<Json> = (0..101).map(|_| json!({ "require": "t", "where": "true" })).collect();
    let (status, message) = world.refused(Method::POST, "/v1/write", Some(json!({ "writes": many }))).await;
    assert!(status == 400 && message.contains("1 to 100"), "{message}");
    let keyed = Client::new().delete(format!("{}{one}", world.base)).header("Idempotency-Key", "k").send().await;
    assert_eq!(keyed.expect("an answer").status(), 400, "it would not be remembered");
    assert_eq!(world.rows(), ["1a1", "2b2", "3c3"]);
}
