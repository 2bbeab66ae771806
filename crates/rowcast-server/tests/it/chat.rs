//! The chat of the binary: nothing where it is off, and everything that it needs where it is on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value as Json, json};

use crate::program::{DEADLINE, Running, client, rowcast};

const ON: (&str, &str) = ("ROWCAST__CHAT__ENABLED", "true");

async fn serve(folder: &Path, settings: &[(&str, &str)]) -> Running {
    let arguments = ["serve", "--database", "sqlite:chat.db", "--listen", "127.0.0.1:0", "--data", "data"];
    let mut command = rowcast(folder, &arguments);
    command.env("ROWCAST__DATABASE__CREATE", "true").envs(settings.iter().copied());
    Running::start(command).await
}

fn tables(path: &Path) -> Vec<String> {
    let database = Connection::open(path).expect("the database");
    database.busy_timeout(DEADLINE).expect("a timeout");
    let mut names = database.prepare("SELECT name FROM sqlite_schema WHERE name LIKE 'chat_%'").expect("a question");
    let names = names.query_map([], |row| row.get(0)).expect("names");
    names.collect::<Result<_, _>>().expect("names")
}

async fn sign_up(server: &Running, email: &str) -> reqwest::Response {
    let body = json!({ "email": email, "password": "correct horse", "name": "Ann" });
    let request = client().post(format!("{}/chat/api/signup", server.url)).header("origin", &server.url);
    request.json(&body).send().await.expect("an answer")
}

fn cookie(answer: &reqwest::Response) -> String {
    let set = answer.headers()["set-cookie"].to_str().expect("text");
    set.split(';').next().expect("a cookie").to_owned()
}

#[tokio::test]
async fn where_it_is_off_there_is_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &[]).await;
    for path in ["/chat", "/chat.html", "/chat/room/1", "/chat/api/config", "/chat/api/me", "/chat/api/openapi.json"] {
        assert_eq!(server.get(path).await.status(), 404, "{path}");
    }
    assert_eq!(sign_up(&server, "ann@example.com").await.status(), 404);
    assert_eq!(tables(&folder.path().join("chat.db")), Vec::<String>::new());
    assert!(!folder.path().join("data/auth").exists());
    assert_eq!(server.get("/v1/tables").await.status(), 200, "everybody may do everything");
}

#[tokio::test]
async fn who_is_logged_in_stays_so_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = [ON, ("ROWCAST__CHAT__VERIFY_EMAIL", "false")];
    let mut server = serve(folder.path(), &settings).await;
    let signed_up = sign_up(&server, "ann@example.com").await;
    assert_eq!(signed_up.status(), 201);
    let cookie = cookie(&signed_up);
    assert!(cookie.starts_with("rowcast="), "{cookie}");
    assert_eq!(server.get("/v1/tables").await.status(), 401, "somebody is asked who he is");
    server.signal("TERM").await;
    assert!(server.ended().await.success());
    let secret = folder.path().join("data/auth/secret");
    assert_eq!(std::fs::metadata(&secret).expect("a file").permissions().mode() & 0o777, 0o600);

    let server = serve(folder.path(), &settings).await;
    let me =
        client().get(format!("{}/chat/api/me", server.url)).header("cookie", cookie).send().await.expect("an answer");
    assert_eq!(me.status(), 200);
    let me: Json = me.json().await.expect("JSON");
    assert_eq!(me["user"]["email"], "ann@example.com");
    assert_eq!(sign_up(&server, "ann@example.com").await.status(), 409);
}

#[tokio::test]
async fn a_code_is_printed_to_the_log_where_no_mail_can_be_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let stderr = std::fs::File::create(folder.path().join("stderr.log")).expect("a file");
    let arguments = ["serve", "--database", "sqlite:chat.db", "--listen", "127.0.0.1:0", "--data", "data"];
    let mut command = rowcast(folder.path(), &arguments);
    command.env("ROWCAST__DATABASE__CREATE", "true").env(ON.0, ON.1).stderr(stderr);
    let server = Running::start(command).await;
    let answer = sign_up(&server, "ann@example.com").await;
    assert_eq!(answer.status(), 202);
    let begun = std::time::Instant::now();
    let code = loop {
        let log = std::fs::read_to_string(folder.path().join("stderr.log")).expect("readable");
        if let Some((_, rest)) = log.split_once("Your code is ") {
            break rest[..6].to_owned();
        }
        assert!(begun.elapsed() < DEADLINE, "no code: {log}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    };
    let verify = client().post(format!("{}/chat/api/verify", server.url));
    let verify = verify.json(&json!({ "email": "ann@example.com", "code": code })).send().await.expect("an answer");
    assert_eq!(verify.status(), 200);
}

#[tokio::test]
async fn the_demo_has_a_chat_and_is_as_open_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = Running::start(rowcast(folder.path(), &["demo", "--listen", "127.0.0.1:0", "--rate-ms", "50"])).await;
    for path in ["/v1/status", "/metrics", "/v1/tables", "/v1/tables/readings", "/v1/dead-letters", "/", "/console"] {
        assert_eq!(demo.get(path).await.status(), 200, "{path}");
    }
    let post = |path: &str, body: Json| client().post(format!("{}{path}", demo.url)).json(&body).send();
    let reading = post("/v1/tables/readings", json!({ "time": 1, "speed": 50 })).await.expect("an answer");
    assert!(reading.status().is_success(), "{}", reading.text().await.expect("text"));
    let said =
        post("/v1/publish", json!({ "channel": "room:any", "event": "hello", "data": 1 })).await.expect("an answer");
    assert_eq!(said.status(), 200);
    assert_eq!(demo.get("/v1/presence/room:any").await.status(), 200);
    for channel in ["room:chat:any", "room:chat-user:any"] {
        let said =
            post("/v1/publish", json!({ "channel": channel, "event": "hello", "data": 1 })).await.expect("an answer");
        assert_eq!(said.status(), 403, "{channel}");
    }
    assert_eq!(demo.get("/v1/tables/chat_accounts").await.status(), 404);

    let signed_up = sign_up(&demo, "ann@example.com").await;
    assert_eq!(signed_up.status(), 201);
    // Whoever is logged in may do what everybody may.
    let cookie = cookie(&signed_up);
    let readings = client().get(format!("{}/v1/tables/readings", demo.url)).header("cookie", &cookie);
    assert_eq!(readings.send().await.expect("an answer").status(), 200);
    let profiles: Json = demo.get("/v1/tables/chat_profiles").await.json().await.expect("JSON");
    assert_eq!(profiles, json!([]), "nobody sees what is not for everybody");
}
