//! Clients that mean no good: each is closed with the right code and a reason, costs little, and disturbs nobody.

mod raw;

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use rowcast::gateway::Limits;
use serde_json::json;

use raw::{Ended, Frame, Raw, World};

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const CONTINUATION: u8 = 0;
const PING: u8 = 9;
const PONG: u8 = 10;
const TEXT: u8 = 1;

fn small() -> Limits {
    Limits { frame_bytes: 2_000, ..Limits::default() }
}

/// What is sent, as one client sends it, and the code that it is closed with.
async fn check(world: &World, what: &str, bytes: &[u8], code: u16) {
    let mut client = world.socket().await;
    client.send(bytes).await;
    let Ended { code: told, reason, texts } = client.read_to_end().await;
    assert_eq!(told, Some(code), "{what}: {reason:?} {texts:?}");
    assert!(!reason.is_empty(), "{what}: no reason");
    let goodbye = texts.last().unwrap_or_else(|| panic!("{what}: no `close`"));
    assert_eq!((&goodbye["type"], goodbye["message"].is_string()), (&json!("close"), true), "{what}: {goodbye}");
}

fn text(payload: impl AsRef<[u8]>) -> Vec<u8> {
    Frame::new(TEXT, payload).bytes()
}

#[tokio::test]
async fn each_broken_frame_is_closed_with_its_code() {
    let world = World::open(small()).await;
    let mut bystander = world.socket().await;
    let plain = || Frame::new(TEXT, "{}");
    check(&world, "a frame that is not masked", &Frame { masked: false, ..plain() }.bytes(), 1002).await;
    for bit in 1..=3 {
        check(&world, &format!("reserved bit {bit}"), &Frame { reserved: bit, ..plain() }.bytes(), 1002).await;
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        check(&world, &format!("opcode {opcode}"), &Frame::new(opcode, "").bytes(), 1002).await;
    }
    for opcode in [CLOSE, PING, PONG] {
        check(&world, &format!("control frame {opcode} of 126"), &Frame::new(opcode, [b'x'; 126]).bytes(), 1002).await;
        let cut = Frame { last: false, ..Frame::new(opcode, "") };
        check(&world, &format!("control frame {opcode} in fragments"), &cut.bytes(), 1002).await;
    }
    check(&world, "a fragment of nothing", &Frame::new(CONTINUATION, "x").bytes(), 1002).await;
    let first = Frame { last: false, ..Frame::new(TEXT, "{") }.bytes();
    check(&world, "a message in a message", &[first, text("}")].concat(), 1002).await;
    bystander.still_works().await;
    world.until_only(1).await;
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_closed_with_1007() {
    let world = World::open(small()).await;
    check(&world, "a byte that cannot be", &text([b'"', 0xff, b'"']), 1007).await;
    check(&world, "a surrogate", &text([0xed, 0xa0, 0x80]), 1007).await;
    check(&world, "an overlong slash", &text([0xc0, 0xaf]), 1007).await;
    check(&world, "half a letter", &text([0xe2, 0x82]), 1007).await;
    let half = Frame { last: false, ..Frame::new(TEXT, [0xe2, 0x82]) }.bytes();
    check(
        &world,
        "half a letter, and none follows",
        &[half.clone(), Frame::new(CONTINUATION, "x").bytes()].concat(),
        1007,
    )
    .await;
    // A letter may be cut between fragments.
    let mut client = world.socket().await;
    let whole = Frame::new(CONTINUATION, [&[0xac][..], b"\"}"].concat()).bytes();
    let begin =
        Frame { last: false, ..Frame::new(TEXT, [b"{\"type\":\"ping\",\"ref\":\"", &[0xe2, 0x82][..]].concat()) };
    client.send(&[begin.bytes(), whole].concat()).await;
    assert_eq!(client.next_text().await.expect("a pong")["ref"], "€");
}

#[tokio::test]
async fn what_is_too_large_is_closed_with_1009_before_it_has_come() {
    let world = World::open(small()).await;
    check(&world, "a large message", &text([b' '; 2_001]), 1009).await;
    for length in [2_001, 1 << 32, i64::MAX as u64, u64::MAX] {
        let header = Frame { length: Some(length), ..Frame::new(BINARY, "") };
        check(&world, &format!("a header that promises {length} bytes"), &header.bytes(), 1009).await;
    }
    let fragment = |opcode| Frame { last: false, ..Frame::new(opcode, [b' '; 900]) }.bytes();
    let three = [fragment(TEXT), fragment(CONTINUATION), fragment(CONTINUATION)].concat();
    check(&world, "fragments that are too large together", &three, 1009).await;
    let mut client = world.socket().await;
    client.send(&text(format!("{{\"type\":\"ping\"}}{}", " ".repeat(2_000 - 15)))).await;
    assert_eq!(client.next_text().await.expect("a pong")["type"], "pong", "exactly as large as may be");
}

#[tokio::test]
async fn fragments_without_end_are_closed_with_1008() {
    let world = World::open(small()).await;
    let mut bystander = world.socket().await;
    let mut endless = Frame { last: false, ..Frame::new(TEXT, "") }.bytes();
    for _ in 0..20_000 {
        endless.extend(Frame { last: false, ..Frame::new(CONTINUATION, "") }.bytes());
    }
    check(&world, "empty fragments", &endless, 1008).await;
    bystander.still_works().await;
}

#[tokio::test]
async fn a_close_is_answered_and_one_that_may_not_be_is_a_mistake() {
    let world = World::open(small()).await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2_999, 5_000, 65_535_u16] {
        check(&world, &format!("close {code}"), &Frame::new(CLOSE, code.to_be_bytes()).bytes(), 1002).await;
    }
    check(&world, "half a code", &Frame::new(CLOSE, [3]).bytes(), 1002).await;
    check(&world, "a reason that is no text", &Frame::new(CLOSE, [3, 232, 0xff]).bytes(), 1007).await;
    for code in [1000, 1001, 1003, 1007, 1011, 1012, 3_000, 4_999_u16] {
        let mut client = world.socket().await;
        client.send(&Frame::new(CLOSE, [&code.to_be_bytes()[..], b"bye"].concat()).bytes()).await;
        assert_eq!(client.read_to_end().await.code, Some(code), "it is answered with its own code");
    }
    let mut client = world.socket().await;
    client.send(&Frame::new(CLOSE, "").bytes()).await;
    assert_eq!(client.read_to_end().await.code, Some(1000));
    world.until_only(0).await;
}

/// Neither pings without end nor a client that reads no pongs take memory or time from others.
#[tokio::test]
async fn a_flood_of_pings_is_answered_with_the_last_and_disturbs_nobody() {
    let world = World::open(small()).await;
    let (mut flood, mut bystander) = (world.socket().await, world.socket().await);
    let pings: Vec<u8> = (0..100_000_u32).flat_map(|n| Frame::new(PING, n.to_be_bytes()).bytes()).collect();
    let flooding = tokio::spawn(async move {
        flood.send(&pings).await;
        flood.send(&Frame::new(PING, "last").bytes()).await;
        while flood.next_frame().await.expect("a pong") != (PONG, b"last".to_vec()) {}
        flood.still_works().await;
    });
    bystander.still_works().await;
    flooding.await.expect("answered");
}

#[tokio::test]
async fn a_flood_of_nonsense_is_closed_with_1008() {
    let world = World::open(Limits { bad_messages: 5, ..small() }).await;
    check(&world, "nonsense", &text("nonsense").repeat(200), 1008).await;
    check(&world, "binary nonsense", &Frame::new(BINARY, [0; 9]).bytes().repeat(200), 1008).await;
}

/// Messages that are all right, more than can be answered at once, by a client that reads no answers: it is not read any more.
#[tokio::test]
async fn a_client_that_asks_and_never_reads_is_held_back() {
    let world =
        World::open(Limits { write_stall: Duration::from_secs(60), heartbeat: Duration::from_secs(60), ..small() })
            .await;
    let (greedy, mut bystander) = (world.socket().await, world.socket().await);
    let ask = text(json!({ "type": "ping", "ref": "x".repeat(60) }).to_string());
    let (_reading, mut writing) = greedy.split();
    // Until nothing more is taken: what the kernel's buffers hold is some megabytes.
    let mut taken = 0;
    while let Ok(sent) = tokio::time::timeout(Duration::from_secs(3), writing.send(&ask)).await {
        sent.expect("the connection goes on");
        taken += ask.len();
        assert!(taken < 256 << 20, "nobody reads the answers, and all of it is taken");
    }
    bystander.still_works().await;
}

#[tokio::test]
async fn who_answers_no_ping_is_closed_with_4001() {
    let world = World::open(Limits { heartbeat: Duration::from_millis(100), ..small() }).await;
    let mut silent = world.socket().await;
    assert_eq!(silent.read_to_end().await.code, Some(4001));
    world.until_only(0).await;
}

/// Byte by byte, a frame that never ends is no sign of life.
#[tokio::test]
async fn who_trickles_a_frame_is_closed_with_4001() {
    let world = World::open(Limits { heartbeat: Duration::from_millis(100), ..small() }).await;
    let client = world.socket().await;
    let (mut reading, mut writing) = client.split();
    let trickle = tokio::spawn(async move {
        for byte in text([b' '; 1_999]) {
            if writing.send(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert_eq!(reading.read_to_end().await.code, Some(4001));
    trickle.abort();
}

fn deflated(plain: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).expect("in memory");
    encoder.flush().expect("in memory");
    let mut bytes = encoder.get_ref().clone();
    // RFC 7692, section 7.2.1: the end of the block is left out.
    assert!(bytes.ends_with(&[0, 0, 0xff, 0xff]));
    bytes.truncate(bytes.len() - 4);
    bytes
}

#[tokio::test]
async fn a_deflate_bomb_is_closed_with_1009_and_rubbish_with_1007() {
    let world = World::open(Limits { deflate: true, frame_bytes: 100_000, ..Limits::default() }).await;
    let compressed = |payload: Vec<u8>| Frame { reserved: 1, ..Frame::new(TEXT, payload) }.bytes();
    let bomb = deflated(&vec![b' '; 50 << 20]);
    assert!(bomb.len() < 100_000, "it is small on the wire: {}", bomb.len());
    for (what, bytes, code) in [("bomb", compressed(bomb), 1009), ("rubbish", compressed(vec![0x07; 50]), 1007)] {
        let mut client = world.compressed_socket().await;
        client.send(&bytes).await;
        assert_eq!(client.read_to_end().await.code, Some(code), "{what}");
    }
    // Where it was not agreed on, the bit is a mistake.
    check(&world, "compressed without a word", &compressed(deflated(b"{}")), 1002).await;
    let mut client = world.compressed_socket().await;
    client.send(&compressed(deflated(br#"{"type":"ping"}"#))).await;
    assert!(client.next_frame().await.is_ok(), "an honest one is read");
}

#[tokio::test]
async fn a_handshake_that_is_none_is_refused() {
    let world = World::open(small()).await;
    let good = "GET /v1/ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(world.answer(good).await.starts_with("HTTP/1.1 101 "));
    for (there, instead) in [
        ("Upgrade: WebSocket\r\n", ""),
        ("Connection: keep-alive, Upgrade\r\n", ""),
        ("Version: 13", "Version: 8"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="),
        ("GET", "POST"),
    ] {
        let answer = world.answer(&good.replace(there, instead)).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "without {there}: {answer}");
    }
    world.until_only(0).await;
}

#[tokio::test]
async fn half_open_and_half_said_connections_leave_nothing_behind() {
    let world = World::open(small()).await;
    let mut bystander = world.socket().await;
    for bytes in [&b""[..], b"G", b"GET /v1/ws HTTP/1.1\r\nHost: h\r\n", b"\x81\xfe"] {
        for _ in 0..20 {
            let mut client = world.connect().await;
            client.send(bytes).await;
            drop(client);
        }
    }
    for _ in 0..20 {
        let mut client: Raw = world.socket().await;
        client.send(&text("{}")[..3]).await;
        drop(client);
    }
    world.until_only(1).await;
    bystander.still_works().await;
}
