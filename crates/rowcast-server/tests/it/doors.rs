//! Ports and connections of a running server: health, limits, slow clients, HTTP/2, and how it ends.

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::program::{DEADLINE, Running, rowcast, shop};

async fn limited(folder: &std::path::Path, limits: &[(&str, &str)]) -> Running {
    let mut command = rowcast(folder, &["serve", "--database", "shop.db", "--listen", "127.0.0.1:0", "--data", "data"]);
    for (name, value) in limits {
        command.env(format!("ROWCAST__{name}"), value);
    }
    Running::start(command).await
}

/// Reads until the server closes the connection.
async fn until_closed(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut all)).await.expect("closed in time");
    // A reset is an end, too.
    let _ = read;
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn health_metrics_and_pages_are_served() {
    let folder = shop();
    let server = Running::serve(folder.path(), &[]).await;
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    assert_eq!(server.get("/readyz").await.status(), StatusCode::OK);
    let page = server.get("/charts").await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(!page.headers()["content-security-policy"].to_str().expect("text").contains("unsafe"));
    assert_eq!(server.get("/assets/nothing.js").await.status(), StatusCode::NOT_FOUND);
    let metrics = server.get("/metrics").await.text().await.expect("text");
    for name in ["rowcast_build_info", "rowcast_ready 1", "rowcast_log_events", "rowcast_connections"] {
        assert!(metrics.contains(name), "{name}\n{metrics}");
    }
}

#[tokio::test]
async fn pages_and_metrics_can_be_left_out() {
    let folder = shop();
    let server = limited(folder.path(), &[("HTTP__PAGES", "false"), ("HTTP__METRICS", "false")]).await;
    assert_eq!(server.get("/").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.get("/metrics").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.get("/readyz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn several_addresses_are_served_and_printed() {
    let folder = shop();
    let mut server = Running::serve(folder.path(), &["--listen", "127.0.0.1:0"]).await;
    let second = server.lines.next_line().await.expect("readable").expect("a line");
    let second = second.strip_prefix("listening on ").expect("an address");
    assert_ne!(second, server.url);
    let answer = crate::program::client().get(format!("{second}/healthz")).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_is_cut() {
    let folder = shop();
    let server = limited(folder.path(), &[("LIMITS__HANDSHAKE", "200ms")]).await;
    for beginning in ["", "G", "PRI * HT", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: "] {
        let mut stream = TcpStream::connect(server.address()).await.expect("connected");
        stream.write_all(beginning.as_bytes()).await.expect("written");
        let answer = until_closed(&mut stream).await;
        assert!(!answer.contains("200 OK"), "{beginning:?} {answer}");
    }
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn beyond_the_limit_of_connections_clients_are_told_so() {
    let folder = shop();
    let server = limited(folder.path(), &[("LIMITS__CONNECTIONS", "1")]).await;
    let mut held = Vec::new();
    let refused = loop {
        let mut stream = TcpStream::connect(server.address()).await.expect("connected");
        stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("written");
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        if &first == b"HTTP/1.1 503" {
            break until_closed(&mut stream).await;
        }
        held.push(stream);
        assert!(held.len() < 100, "nobody is refused");
    };
    assert!(refused.contains("too_many_connections") && held.len() > 1, "{refused}");
    let body = refused.split("\r\n\r\n").nth(1).expect("a body");
    assert!(refused.contains(&format!("Content-Length: {}", body.len())));
}

#[tokio::test]
async fn http_2_without_tls_is_spoken() {
    let folder = shop();
    let server = Running::serve(folder.path(), &[]).await;
    let mut stream = TcpStream::connect(server.address()).await.expect("connected");
    // Byte by byte: the beginning of the preface could be that of any method.
    for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
        stream.write_all(&[*byte]).await.expect("written");
    }
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.expect("empty settings");
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.expect("a frame");
    assert_eq!(frame[3], 4, "the server's settings");
}

#[tokio::test]
async fn a_stream_is_told_when_to_come_back_and_the_server_ends_well() {
    let folder = shop();
    let mut server = Running::serve(folder.path(), &[]).await;
    let mut stream = server.get("/v1/stream?channel=table:orders").await;
    let first = stream.chunk().await.expect("readable").expect("a beginning");
    assert!(String::from_utf8_lossy(&first).contains("retry:"));
    server.signal("TERM").await;
    let mut rest = String::new();
    while let Ok(Some(chunk)) = stream.chunk().await {
        rest.push_str(&String::from_utf8_lossy(&chunk));
    }
    assert!(rest.contains("event: close") && rest.contains("\"retry_ms\":1000"), "{rest}");
    assert!(server.ended().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let folder = shop();
    let mut server = Running::serve(folder.path(), &[]).await;
    // A body that never ends keeps the first signal waiting for it.
    let mut open = TcpStream::connect(server.address()).await.expect("connected");
    let head = b"POST /v1/tables/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\n\r\n{\"city\":\"Oslo\"}\n";
    open.write_all(head).await.expect("written");
    let stored = "SELECT count(*) FROM orders";
    while crate::program::database(folder.path()).query_row(stored, [], |row| row.get::<_, i64>(0)) != Ok(1) {
        tokio::task::yield_now().await;
    }
    server.signal("TERM").await;
    while TcpStream::connect(server.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    server.signal("INT").await;
    assert_eq!(server.ended().await.code(), Some(130));
}

#[tokio::test]
async fn each_port_has_its_own_doors() {
    let folder = shop();
    let file = "[[listen]]\naddress = '127.0.0.1:0'\n\
                [[listen]]\naddress = '127.0.0.1:0'\nname = 'api'\ndoors = ['native']\nbacklog = 64\n\
                [[listen]]\naddress = '127.0.0.1:0'\ndoors = ['pages', 'metrics']\n";
    std::fs::write(folder.path().join("rowcast.toml"), file).expect("a file");
    let command = rowcast(folder.path(), &["serve", "--database", "shop.db", "--data", "data"]);
    let mut server = Running::start(command).await;
    let mut urls = vec![server.url.clone()];
    for _ in 0..2 {
        let line = server.lines.next_line().await.expect("readable").expect("a line");
        urls.push(line.strip_prefix("listening on ").expect("an address").to_owned());
    }
    let expected = [("/v1/tables", [200, 200, 404]), ("/charts", [200, 404, 200]), ("/metrics", [200, 404, 200])];
    for (path, statuses) in expected.into_iter().chain([("/healthz", [200; 3]), ("/readyz", [200; 3])]) {
        for (url, status) in urls.iter().zip(statuses) {
            let answer = crate::program::client().get(format!("{url}{path}")).send().await.expect("an answer");
            assert_eq!(answer.status().as_u16(), status, "{url}{path}");
        }
    }
}
