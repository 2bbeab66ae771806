//! The cases of the official test suite of Engine.IO, for both versions. <https://github.com/socketio/engine.io-protocol>

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Answer, World, number, over_websocket, quick};
use crate::protocol::engineio::Eio;

const BOTH: [Eio; 2] = [Eio::V3, Eio::V4];

/// One packet as a payload.
fn payload(eio: Eio, packets: &[&str]) -> String {
    match eio {
        Eio::V4 => packets.join("\x1e"),
        Eio::V3 => packets.iter().map(|packet| format!("{}:{packet}", packet.chars().count())).collect(),
    }
}

fn check_open(packet: &str, upgrades: &Value) {
    let open: Value = serde_json::from_str(packet.strip_prefix('0').expect("an open packet")).expect("JSON");
    let keys: Vec<&String> = open.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert_eq!(open["sid"].as_str().map(str::len), Some(22));
    assert_eq!((&open["upgrades"], &open["pingInterval"], &open["pingTimeout"]), (upgrades, &json!(300), &json!(200)));
    assert_eq!(open["maxPayload"], 1_000_000);
}

fn check_fault(answer: &Answer, code: u8) {
    let fault: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!((answer.status, &fault["code"]), (400, &json!(code)), "{fault}");
}

#[tokio::test]
async fn polling_opens_a_session() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let answer = world.get(&format!("EIO={}&transport=polling", number(eio))).await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("content-type: text/plain; charset=utf-8"), "{}", answer.head);
        check_open(&answer.packets(eio)[0], &json!(["websocket"]));
    }
}

#[tokio::test]
async fn requests_that_open_nothing_are_told_why() {
    let world = World::echo(quick()).await;
    check_fault(&world.get("transport=polling").await, 5);
    check_fault(&world.get("EIO=abc&transport=polling").await, 5);
    check_fault(&world.get("EIO=4").await, 0);
    check_fault(&world.get("EIO=4&transport=abc").await, 0);
    check_fault(&world.get("EIO=4&transport=polling&sid=abc").await, 1);
    check_fault(&world.get("EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAAAA").await, 1);
    check_fault(&world.post("EIO=4&transport=polling", "").await, 2);
    check_fault(&world.request("PUT", "EIO=4&transport=polling", "", b"").await, 2);
    check_fault(&world.get("EIO=4&transport=websocket").await, 3);
    for query in ["transport=websocket", "EIO=abc&transport=websocket", "EIO=4", "EIO=4&transport=abc"] {
        assert!(world.socket(query).await.is_err(), "{query}");
    }
}

#[tokio::test]
async fn a_websocket_opens_a_session() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let mut socket = world.socket(&format!("EIO={}&transport=websocket", number(eio))).await.expect("a socket");
        check_open(&socket.hear().await, &json!([]));
    }
}

#[tokio::test]
async fn polling_carries_messages() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let binary = if eio == Eio::V4 { "bAQIDBA==" } else { "b4AQIDBA==" };
        for packets in [&["4hello"][..], &["4test1", "4test2", "4test3"], &["4hello", binary], &["4€😀ü"]] {
            // In version 3, a client that takes binary data gets it as it is, unless it says otherwise.
            let query = format!("{}&b64=1", world.polling_base64(eio).await);
            let body = match eio {
                Eio::V3 => packets.iter().map(|p| format!("{}:{p}", p.encode_utf16().count())).collect(),
                Eio::V4 => payload(eio, packets),
            };
            let pushed = world.post(&query, &body).await;
            assert_eq!((pushed.status, pushed.text()), (200, "ok".into()));
            let mut heard = String::new();
            while heard.len() < body.len() {
                let polled = world.get(&query).await;
                assert_eq!(polled.status, 200);
                if !heard.is_empty() && eio == Eio::V4 {
                    heard.push('\x1e');
                }
                heard.push_str(&polled.text());
            }
            assert_eq!(heard, body);
        }
    }
}

impl World {
    async fn polling_base64(&self, eio: Eio) -> String {
        let query = format!("EIO={}&transport=polling", number(eio));
        let answer = self.get(&format!("{query}&b64=1")).await;
        format!("{query}&sid={}", super::sid(&answer.packets(eio)[0]))
    }
}

#[tokio::test]
async fn version_3_polls_binary_data_as_it_is() {
    let world = World::echo(quick()).await;
    let query = world.polling(Eio::V3).await;
    let headers = "Content-Type: application/octet-stream\r\n";
    let body = b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04";
    assert_eq!(world.request("POST", &query, headers, body).await.status, 200);
    let mut heard = Vec::new();
    while heard.len() < body.len() {
        let polled = world.get(&query).await;
        match polled.head.contains("application/octet-stream") {
            true => heard.extend(polled.body),
            // The text alone, before the binary message had come back.
            false => {
                assert_eq!(polled.text(), "2:4€");
                heard.extend(b"\x00\x04\xff4\xe2\x82\xac");
            }
        }
    }
    assert_eq!(heard, body);
}

#[tokio::test]
async fn what_is_no_packet_ends_a_polling_session() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        assert_eq!(world.post(&query, "abc").await.status, 400);
        check_fault(&world.get(&query).await, 1);
    }
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        let (first, second) = tokio::join!(world.get(&query), world.get(&query));
        let (closed, refused) = if first.status == 200 { (first, second) } else { (second, first) };
        assert_eq!((closed.status, refused.status), (200, 400));
        assert_eq!(closed.text(), payload(eio, &["1"]));
        check_fault(&world.get(&query).await, 1);
    }
}

#[tokio::test]
async fn a_websocket_carries_messages() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let mut socket = world.socket(&format!("EIO={}&transport=websocket", number(eio))).await.expect("a socket");
        socket.hear().await;
        socket.say("4hello").await;
        assert_eq!(socket.hear().await, "4hello");
        let data: &'static [u8] = if eio == Eio::V4 { &[1, 2, 3, 4] } else { &[4, 1, 2, 3, 4] };
        socket.say_binary(data).await;
        assert_eq!(socket.message().await, Message::Binary(data.into()));
        socket.say("b4AQIDBA==").await;
        socket.say("abc").await;
        socket.until_closed().await;
    }
}

#[tokio::test]
async fn a_client_without_binary_frames_gets_base64() {
    let world = World::echo(quick()).await;
    let mut socket = world.socket("EIO=3&transport=websocket&b64=1").await.expect("a socket");
    socket.hear().await;
    socket.say("b4AQIDBA==").await;
    assert_eq!(socket.hear().await, "b4AQIDBA==");
}

#[tokio::test]
async fn pings_keep_a_polling_session() {
    let world = World::echo(quick()).await;
    let query = world.polling(Eio::V4).await;
    for _ in 0..3 {
        assert_eq!(world.get(&query).await.text(), "2");
        assert_eq!(world.post(&query, "3").await.status, 200);
    }
    let query = world.polling(Eio::V3).await;
    for _ in 0..3 {
        assert_eq!(world.post(&query, "1:2").await.status, 200);
        assert_eq!(world.get(&query).await.text(), "1:3");
    }
}

#[tokio::test]
async fn pings_keep_a_websocket() {
    let world = World::echo(quick()).await;
    let mut socket = world.socket("EIO=4&transport=websocket").await.expect("a socket");
    socket.hear().await;
    for _ in 0..3 {
        assert_eq!(socket.hear().await, "2");
        socket.say("3").await;
    }
    let mut socket = world.socket("EIO=3&transport=websocket").await.expect("a socket");
    socket.hear().await;
    for _ in 0..3 {
        socket.say("2").await;
        assert_eq!(socket.hear().await, "3");
    }
}

#[tokio::test]
async fn without_an_answer_to_pings_a_session_ends() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        check_fault(&world.get(&query).await, 1);
        let mut socket = world.socket(&format!("EIO={}&transport=websocket", number(eio))).await.expect("a socket");
        socket.until_closed().await;
    }
}

#[tokio::test]
async fn pings_in_the_wrong_direction_end_a_session() {
    let world = World::echo(quick()).await;
    for (eio, wrong) in [(Eio::V4, "2"), (Eio::V3, "3")] {
        let query = world.polling(eio).await;
        assert_eq!(world.post(&query, &payload(eio, &[wrong])).await.status, 400);
        check_fault(&world.get(&query).await, 1);
        let mut socket = world.socket(&format!("EIO={}&transport=websocket", number(eio))).await.expect("a socket");
        socket.say(wrong).await;
        socket.until_closed().await;
    }
}

#[tokio::test]
async fn a_client_closes() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        let close = payload(eio, &["1"]);
        let (polled, pushed) = tokio::join!(world.get(&query), world.post(&query, &close));
        assert_eq!((polled.status, polled.text(), pushed.status), (200, payload(eio, &["6"]), 200));
        check_fault(&world.get(&query).await, 1);
        let mut socket = world.socket(&format!("EIO={}&transport=websocket", number(eio))).await.expect("a socket");
        socket.hear().await;
        socket.say("1").await;
        socket.until_closed().await;
    }
}

#[tokio::test]
async fn a_session_goes_from_polling_to_websocket() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        let mut socket = world.socket(&over_websocket(&query)).await.expect("a socket");
        socket.say("2probe").await;
        assert_eq!(socket.hear().await, "3probe");
        let polled = world.get(&query).await;
        assert_eq!((polled.status, polled.text()), (200, payload(eio, &["6"])));
        socket.say("5").await;
        socket.say("4hello").await;
        assert_eq!(socket.hear().await, "4hello");
    }
}

#[tokio::test]
async fn after_the_change_nothing_else_is_taken() {
    let world = World::echo(quick()).await;
    for eio in BOTH {
        let query = world.polling(eio).await;
        let mut socket = world.socket(&over_websocket(&query)).await.expect("a socket");
        socket.say("2probe").await;
        socket.say("5").await;
        check_fault(&world.get(&query).await, 3);
        check_fault(&world.post(&query, &payload(eio, &["4a"])).await, 3);
        let mut second = world.socket(&over_websocket(&query)).await.expect("accepted");
        assert!(second.until_closed().await.is_empty());
        socket.say("4hello").await;
        assert_eq!((socket.hear().await, socket.hear().await), ("3probe".into(), "4hello".into()));
    }
}

#[tokio::test]
async fn one_version_does_not_go_on_with_the_others_session() {
    let world = World::echo(quick()).await;
    let query = world.polling(Eio::V4).await;
    check_fault(&world.get(&query.replace("EIO=4", "EIO=3")).await, 3);
    check_fault(&world.get(&query.replace("EIO=4&", "")).await, 3);
}
