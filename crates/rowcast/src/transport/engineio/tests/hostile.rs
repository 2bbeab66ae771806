//! Clients that mean no good.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{World, echo, quick};
use crate::protocol::engineio::Eio;
use crate::protocol::frame;
use crate::session::Limits;
use crate::transport::engineio::Settings;

#[tokio::test]
async fn a_body_that_is_too_large_ends_the_session() {
    let world = World::echo(Settings { max_payload: 10_000, ..quick() }).await;
    let query = world.polling(Eio::V4).await;
    let large = format!("4{}", "x".repeat(10_000));
    assert_eq!(world.post(&query, &large).await.status, 413);
    assert_eq!(world.get(&query).await.status, 400);

    // One that does not say how large it is.
    let query = world.polling(Eio::V4).await;
    let headers = "Transfer-Encoding: chunked\r\n";
    let chunk = format!("2711\r\n{large}\r\n0\r\n\r\n");
    let head = format!("POST /socket.io/?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{chunk}");
    let mut stream = tokio::net::TcpStream::connect(world.address).await.expect("a connection");
    stream.write_all(head.as_bytes()).await.expect("a request");
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.expect("an answer");
    assert_eq!(super::Answer::parse(&answer).status, 413);
    assert_eq!(world.get(&query).await.status, 400);

    let mut socket = world.socket("EIO=4&transport=websocket").await.expect("a socket");
    socket.say(&large).await;
    assert_eq!(socket.until_closed().await.len(), 1);
}

#[tokio::test]
async fn sessions_have_a_bound() {
    let limits = Limits { connections: 3, ..Limits::default() };
    let world = World::with(quick(), limits, echo).await;
    let first = world.polling(Eio::V4).await;
    for _ in 0..2 {
        world.polling(Eio::V4).await;
    }
    let refused = world.get("EIO=4&transport=polling").await;
    assert_eq!(refused.status, 503);
    assert!(refused.head.contains("retry-after"));
    assert_eq!(world.post(&first, "1").await.status, 200);
    world.polling(Eio::V4).await;
}

#[tokio::test]
async fn a_post_is_answered_when_its_messages_have_found_room() {
    let read = Arc::new(AtomicUsize::new(0));
    let reads = read.clone();
    let world = World::with(Settings::default(), Limits::default(), move |mut peer| {
        let reads = reads.clone();
        async move {
            while peer.hear(true).await.is_ok() {
                reads.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let query = world.polling(Eio::V4).await;
    let body = vec![format!("4{}", "x".repeat(30_000)); 32].join("\x1e");
    assert_eq!(world.post(&query, &body).await.status, 200);
    // Three of them wait at most.
    assert!(read.load(Ordering::SeqCst) >= 29);
}

#[tokio::test]
async fn a_second_post_at_once_ends_the_session() {
    let world = World::echo(Settings::default()).await;
    let query = world.polling(Eio::V4).await;
    // A body that does not come to its end.
    let mut slow = tokio::net::TcpStream::connect(world.address).await.expect("a connection");
    let head = format!("POST /socket.io/?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n4");
    slow.write_all(head.as_bytes()).await.expect("a head");
    loop {
        // Until the first one is being read, the second one is taken.
        let second = world.post(&query, "4a").await;
        match second.status {
            200 => {}
            status => break assert_eq!(status, 400),
        }
    }
    assert_eq!(world.get(&query).await.status, 400);
}

#[tokio::test]
async fn a_poll_that_is_given_up_ends_the_session() {
    let (sender, mut ended) = mpsc::channel(1);
    let world = World::with(Settings::default(), Limits::default(), move |mut peer| {
        let sender = sender.clone();
        async move {
            // The poll is under way when it gets this.
            let _ = peer.send(&mut vec![frame::text(b"4hello")]).await;
            let _ = sender.send(peer.hear(true).await.is_err()).await;
        }
    })
    .await;
    let query = world.polling(Eio::V4).await;
    assert_eq!(world.get(&query).await.text(), "4hello");
    let stream = world.begin("GET", &query, "", b"").await;
    drop(stream);
    assert_eq!(ended.recv().await, Some(true));
    assert_eq!(world.get(&query).await.status, 400);
}

#[tokio::test]
async fn what_is_said_waits_for_polls_in_order_and_in_small_payloads() {
    let world = World::with(Settings::default(), Limits::default(), |mut peer| async move {
        let mut out: Vec<_> = (0..1000).map(|n| frame::text(format!("4{n}:{}", "x".repeat(500)).as_bytes())).collect();
        if peer.send(&mut out).await.is_ok() {
            peer.goodbye(1000, "done", Some(frame::text(b"4last"))).await;
        }
    })
    .await;
    let query = world.polling(Eio::V4).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "1") {
        let packets = world.get(&query).await.packets(Eio::V4);
        assert!(packets.len() <= 16);
        heard.extend(packets.into_iter().map(|packet| packet.split(':').next().unwrap_or_default().to_owned()));
    }
    let expected: Vec<String> = (0..1000).map(|n| format!("4{n}")).chain(["4last".into(), "1".into()]).collect();
    assert_eq!(heard, expected);
    assert_eq!(world.get(&query).await.status, 400);
}

#[tokio::test]
async fn malformed_packets_of_every_kind_end_their_session_alone() {
    let world = World::echo(quick()).await;
    let mut healthy = world.socket("EIO=4&transport=websocket").await.expect("a socket");
    healthy.hear().await;
    for body in ["", "\x1e", "9", "4a\x1e", "b!!", "é"] {
        let query = world.polling(Eio::V4).await;
        assert_eq!(world.post(&query, body).await.status, 400, "{body:?}");
        assert_eq!(world.get(&query).await.status, 400, "{body:?}");
    }
    for body in ["4", "5:4", ":", "x:4a", "-1:4", "1:9", "2:4", "99999999999999999999:4", "3:b!!"] {
        let query = world.polling(Eio::V3).await;
        assert_eq!(world.post(&query, body).await.status, 400, "{body:?}");
        assert_eq!(world.get(&query).await.status, 400, "{body:?}");
    }
    healthy.say("4still here").await;
    assert_eq!(healthy.hear().await, "4still here");
}
