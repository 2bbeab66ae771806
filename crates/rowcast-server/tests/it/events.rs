//! Changes of a table under an application's own event name, on the real binary.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::server::{DEADLINE, Server};

const EVENTS: &str = r#"[
  { name = "newData", table = "Data", fields = ["time", "speed"], as_text = true },
  { name = "fast", table = "Data", on = ["insert", "update"], where = "speed > 40" },
  { name = "gone", table = "Data", on = "delete", fields = ["id"] },
]"#;

async fn start(dir: &std::path::Path) -> Result<Server> {
    let database = Connection::open(dir.join("app.db"))?;
    database.execute_batch(
        "PRAGMA journal_mode = wal; CREATE TABLE Data (id INTEGER PRIMARY KEY, time TEXT, speed INTEGER)",
    )?;
    Server::start(dir, &[("event", EVENTS)]).await
}

fn run(server: &Server, sql: &str) -> Result<()> {
    let database = Connection::open(server.database())?;
    database.busy_timeout(DEADLINE)?;
    Ok(database.execute_batch(sql)?)
}

/// An event stream, block by block, as a browser's EventSource reads it.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(server: &Server, query: &str, last: Option<&str>) -> Result<Self> {
        let mut request = server.http().get(server.url(&format!("/v1/stream?{query}")));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await?;
        ensure!(response.status().is_success(), "{}", response.text().await?);
        Ok(Self { response, text: String::new() })
    }

    pub(crate) async fn block(&mut self) -> Result<BTreeMap<String, String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let fields = block.lines().filter_map(|line| line.split_once(": "));
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                self.text = rest.to_owned();
                return Ok(fields);
            }
            let chunk = tokio::time::timeout(DEADLINE, self.response.chunk()).await.context("silence")??;
            self.text.push_str(std::str::from_utf8(&chunk.context("the stream has ended")?)?);
        }
    }

    /// The next event of this name: its id and its data.
    pub(crate) async fn event(&mut self, name: &str) -> Result<(Option<String>, Value)> {
        loop {
            let mut block = self.block().await?;
            if block.get("event").is_some_and(|event| event == name) {
                let data = block.remove("data").context("no data")?;
                return Ok((block.remove("id"), serde_json::from_str(&data)?));
            }
        }
    }
}

#[tokio::test]
async fn an_event_source_hears_inserts_under_their_own_name_and_resumes_after_a_kill() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut stream = Stream::open(&server, "channel=event:newData", None).await?;
    stream.event("subscribed").await?;
    run(&server, "INSERT INTO Data (time, speed) VALUES ('1718000000123', 37), ('1718000001123', NULL)")?;
    let (id, data) = stream.event("newData").await?;
    assert_eq!(data, json!({ "time": "1718000000123", "speed": "37" }));
    let last = id.context("an id")?;
    server.kill9().await?;
    run(&server, "UPDATE Data SET speed = 1; INSERT INTO Data (time, speed) VALUES ('1718000002123', 38)")?;
    server.restart().await?;
    let mut stream = Stream::open(&server, "channel=event:newData", Some(&last)).await?;
    assert_eq!(stream.event("newData").await?.1, json!({ "time": "1718000001123", "speed": null }));
    assert_eq!(stream.event("newData").await?.1, json!({ "time": "1718000002123", "speed": "38" }), "updates are none");
    Ok(())
}

#[tokio::test]
async fn a_client_that_comes_late_is_told_the_last_events_oldest_first() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    for speed in 1..=5 {
        run(&server, &format!("INSERT INTO Data (time, speed) VALUES ('t', {speed})"))?;
    }
    let mut stream = Stream::open(&server, "channel=event:newData&snapshot=true&limit=3", None).await?;
    for speed in ["3", "4", "5"] {
        assert_eq!(stream.event("newData").await?.1["speed"], json!(speed));
    }
    stream.event("subscribed").await?;
    run(&server, "INSERT INTO Data (time, speed) VALUES ('t', 6)")?;
    assert_eq!(stream.event("newData").await?.1["speed"], json!("6"));
    Ok(())
}

#[tokio::test]
async fn an_events_filter_and_its_kinds_of_change_decide() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut fast = Stream::open(&server, "channel=event:fast&where=id+%3C+100", None).await?;
    let mut gone = Stream::open(&server, "channel=event:gone", None).await?;
    fast.event("subscribed").await?;
    gone.event("subscribed").await?;
    run(&server, "INSERT INTO Data VALUES (1, 'a', 30), (2, 'b', 50), (100, 'c', 50)")?;
    run(&server, "UPDATE Data SET speed = 45 WHERE id = 1; UPDATE Data SET speed = 2 WHERE id = 2")?;
    run(&server, "DELETE FROM Data WHERE id = 2; INSERT INTO Data VALUES (3, 'd', 60)")?;
    let mut heard = Vec::new();
    for _ in 0..3 {
        heard.push(fast.event("fast").await?.1);
    }
    let expected = [
        json!({ "id": 2, "time": "b", "speed": 50 }),
        json!({ "id": 1, "time": "a", "speed": 45 }),
        json!({ "id": 3, "time": "d", "speed": 60 }),
    ];
    assert_eq!(heard, expected);
    assert_eq!(gone.event("gone").await?.1, json!({ "id": 2 }));
    Ok(())
}

#[tokio::test]
async fn a_stream_may_have_messages_as_everywhere_else() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let mut stream = Stream::open(&server, "channel=event:newData&wrapped=true", None).await?;
    stream.event("subscribed").await?;
    run(&server, "INSERT INTO Data (time, speed) VALUES ('1', 2)")?;
    let (id, message) = stream.event("message").await?;
    assert_eq!((message["event"].as_str(), message["position"].as_str()), (Some("newData"), id.as_deref()));
    assert_eq!(message["data"], json!({ "time": "1", "speed": "2" }));
    Ok(())
}

#[tokio::test]
async fn a_web_socket_hears_messages() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = start(dir.path()).await?;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{}/v1/ws", server.port())).await?;
    let subscribe = json!({ "type": "subscribe", "id": "s", "channel": "event:newData" });
    say(&mut socket, subscribe).await?;
    until(&mut socket, "subscribed").await?;
    run(&server, "INSERT INTO Data (time, speed) VALUES ('1', 2)")?;
    let message = until(&mut socket, "message").await?;
    assert_eq!(message["event"], "newData");
    assert_eq!(message["data"], json!({ "time": "1", "speed": "2" }));
    assert!(message["position"].is_string());
    let wrong = json!({ "type": "subscribe", "id": "t", "channel": "event:newDate" });
    say(&mut socket, wrong).await?;
    let error = until(&mut socket, "error").await?;
    assert_eq!(error["code"], "bad_channel");
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("newData")), "{error}");
    let columns = json!({ "type": "subscribe", "id": "u", "channel": "event:newData", "columns": ["id"] });
    say(&mut socket, columns).await?;
    assert_eq!(until(&mut socket, "error").await?["code"], "bad_message");
    Ok(())
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn say(socket: &mut Socket, message: Value) -> Result<()> {
    use futures_util::SinkExt;
    Ok(socket.send(tokio_tungstenite::tungstenite::Message::text(message.to_string())).await?)
}

async fn until(socket: &mut Socket, kind: &str) -> Result<Value> {
    use futures_util::StreamExt;
    loop {
        let frame = tokio::time::timeout(DEADLINE, socket.next()).await.context("silence")?;
        let frame = frame.context("the connection has ended")??;
        if !frame.is_text() {
            continue;
        }
        let text = frame.into_text()?;
        let message: Value = serde_json::from_str(&text)?;
        if message["type"] == kind {
            return Ok(message);
        }
    }
}

#[tokio::test]
async fn an_event_with_a_field_that_is_none_is_refused_at_the_start() -> Result<()> {
    let dir = tempfile::tempdir()?;
    Connection::open(dir.path().join("app.db"))?
        .execute_batch("CREATE TABLE Data (id INTEGER PRIMARY KEY, time TEXT)")?;
    for (event, said) in [
        (r#"[{ name = "a", table = "Data", fields = ["tim"] }]"#, "no column `tim`"),
        (r#"[{ name = "gap", table = "Data" }]"#, "the protocol says that itself"),
        (r#"[{ name = "a", table = "Data", on = ["insrt"] }]"#, "insrt"),
        (r#"[{ name = "a", table = "Data", where = "speed >" }]"#, "filter"),
        (r#"[{ name = "a" }]"#, "this key is missing"),
    ] {
        let server = Server::new(dir.path(), &[("event", event)]);
        let mut command = server.command();
        command.stderr(std::process::Stdio::piped());
        let ended = tokio::time::timeout(DEADLINE, command.output()).await.context("it did not end")??;
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(!ended.status.success() && stderr.contains(said), "{event}: {stderr}");
    }
    Ok(())
}
