//! Files: by content, for members only, and nothing that a browser would run.

use std::io::Write;

use reqwest::Method;
use rowcast::gateway::LogPlace;
use rowcast_chat::Settings;
use serde_json::json;

use super::people::{befriend, delete, fetched, fetched_with, id, people, send_file, talk_of, two_in_a_talk};
use crate::browser::Browser;
use crate::world::{Base, KINDS, Kind, World, open};

/// A picture of one colour, of any size: a PNG without compression.
pub(super) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut raw = Vec::new();
    for _ in 0..height {
        raw.push(0);
        raw.extend(std::iter::repeat_n([200, 40, 40], width as usize).flatten());
    }
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut header = Vec::new();
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    chunk(&mut out, b"IHDR", &header);
    chunk(&mut out, b"IDAT", &stored(&raw));
    chunk(&mut out, b"IEND", &[]);
    out
}

fn chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).expect("a chunk").to_be_bytes());
    let begin = out.len();
    out.extend(kind);
    out.extend(data);
    let crc = !out[begin..].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    });
    out.extend(crc.to_be_bytes());
}

/// zlib, with blocks that are stored as they are.
fn stored(raw: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = raw.chunks(65_535);
    let last = blocks.len().saturating_sub(1);
    for (n, block) in blocks.enumerate() {
        let length = u16::try_from(block.len()).expect("a block");
        out.push(u8::from(n == last));
        out.write_all(&length.to_le_bytes()).expect("written");
        out.write_all(&(!length).to_le_bytes()).expect("written");
        out.extend(block);
    }
    let (a, b) = raw.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

#[tokio::test]
async fn a_file_is_for_those_who_are_in_its_talk() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let [mut ann, mut bob, eve] = people(&world, ["ann", "bob", "eve"]).await;
        befriend(&mut ann, &mut bob, "bob").await;
        let room = talk_of(&mut ann, &bob).await;
        let picture = png(900, 300);
        let sent = send_file(&mut ann, &room, "..%2F..%2Fetc%2F%C3%BCber%20uns.png", picture.clone()).await;
        assert_eq!(sent.status, 201, "{kind:?} {sent:?}");
        let row = &sent.body["file"];
        assert_eq!((&row["name"], &row["type"]), (&json!("über uns.png"), &json!("image/png")), "{kind:?}");
        assert_eq!((&row["width"], &row["height"], &row["bytes"]), (&json!(900), &json!(300), &json!(picture.len())));
        let file = id(&row["id"]);
        let (status, headers, bytes) = fetched(&bob, &format!("/files/{file}")).await;
        assert_eq!((status, bytes == picture), (200, true), "{kind:?}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["content-security-policy"], "sandbox; default-src 'none'");
        assert!(headers["content-disposition"].to_str().expect("text").starts_with("inline; "), "{headers:?}");
        assert!(headers["cache-control"].to_str().expect("text").starts_with("private"), "{headers:?}");
        let (status, headers, bytes) = fetched(&bob, &format!("/files/{file}/thumbnail")).await;
        assert_eq!((status, &headers["content-type"]), (200, &"image/jpeg".parse().expect("a value")), "{kind:?}");
        assert!(bytes.starts_with(b"\xff\xd8\xff"));
        for path in [format!("/files/{file}"), format!("/files/{file}/thumbnail")] {
            assert_eq!(fetched(&eve, &path).await.0, 404, "{kind:?} {path}");
        }
        // It is said with a message, and gone with it.
        let said = json!({ "nonce": "f", "file": file });
        let said = ann.post(&format!("/rooms/{room}/messages"), said).await;
        assert_eq!((said.status, &said.body["message"]["file"]), (201, &json!(file)), "{kind:?} {said:?}");
        assert_eq!(delete(&mut ann, &format!("/messages/{}", said.body["message"]["id"])).await, 204, "{kind:?}");
        assert_eq!(fetched(&bob, &format!("/files/{file}")).await.0, 404, "{kind:?}");
        assert!(bob.rows("chat_files").await.is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn the_content_decides_and_nothing_runs_in_a_browser() {
    for kind in KINDS {
        let everything = Settings { types: vec!["*/*".into()], ..open() };
        let world = World::start(kind, everything).await;
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        for (name, bytes, of_type) in [
            ("a.png", &b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"[..], "image/svg+xml"),
            ("b.png", b"<!doctype html><script>alert(1)</script>", "text/html"),
            ("c.jpg", b"%PDF-1.7", "application/pdf"),
            ("d.png", b"\x00\x01\x02", "application/octet-stream"),
        ] {
            let sent = send_file(&mut ann, &room, name, bytes.to_vec()).await;
            assert_eq!((sent.status, &sent.body["file"]["type"]), (201, &json!(of_type)), "{kind:?} {name} {sent:?}");
            let (_, headers, kept) = fetched(&bob, &format!("/files/{}", id(&sent.body["file"]["id"]))).await;
            assert_eq!(kept, bytes, "{name}");
            let (disposition, shown) = (&headers["content-disposition"], &headers["content-type"]);
            assert!(disposition.to_str().expect("text").starts_with("attachment; "), "{name} {disposition:?}");
            assert!(shown != "image/svg+xml" && shown != "text/html", "{name} {shown:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_large_or_not_taken_leaves_nothing() {
    for kind in KINDS {
        let small = Settings { max_file: 100_000, ..open() };
        let world = World::start(kind, small).await;
        let (mut ann, bob, room) = two_in_a_talk(&world).await;
        let mut bomb = png(1, 1);
        bomb.splice(16..24, [0, 1, 0, 0, 0, 1, 0, 0]);
        let crc = !bomb[12..29].iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        });
        bomb.splice(29..33, crc.to_be_bytes());
        for (name, bytes, status) in [
            ("long.txt", vec![b'a'; 100_001], 413),
            ("page.html", b"<html>".to_vec(), 415),
            ("drawing.svg", b"<svg/>".to_vec(), 415),
            ("program", b"\x7fELF".to_vec(), 415),
            ("torn.png", png(30, 30)[..200].to_vec(), 415),
            ("bomb.png", bomb.clone(), 413),
        ] {
            assert_eq!(send_file(&mut ann, &room, name, bytes).await.status, status, "{kind:?} {name}");
        }
        assert!(ann.rows("chat_files").await.is_empty());
        let portrait = |bytes: Vec<u8>| ann.request(Method::POST, "/chat/api/files?picture=1").body(bytes);
        let (large, text, bomb) = (portrait(png(180, 180)), portrait(b"words".to_vec()), portrait(bomb));
        let sent = ann.send(large).await;
        assert_eq!((sent.status, &sent.body["file"]["room"]), (201, &serde_json::Value::Null), "{sent:?}");
        assert_eq!(ann.send(text).await.status, 415);
        assert_eq!(ann.send(bomb).await.status, 413);
        // A picture of a person is for everybody who is logged in.
        let file = id(&sent.body["file"]["id"]);
        assert_eq!(ann.patch("/me", json!({ "picture": file })).await.status, 200);
        assert_eq!(fetched(&bob, &format!("/files/{file}")).await.0, 200);
        assert_eq!(fetched(&Browser::new(&world), &format!("/files/{file}")).await.0, 401);
        // Of what was refused no bytes are left.
        let left = std::fs::read_dir(world.base.files()).expect("a folder").count();
        assert_eq!(left, 1);
    }
}

/// A server that speaks as S3 does, of `pip install "moto[server]"`. It ends with this.
struct Bucket(std::process::Child);

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn bucket(name: &str) -> (Bucket, String) {
    let port = servers::free_port().expect("a port");
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python/bin/moto_server");
    assert!(std::path::Path::new(program).exists(), "Python's packages are missing: run ./scripts/install-test-needs");
    let null = std::process::Stdio::null;
    let mut server = std::process::Command::new(program);
    server.args(["-H", "127.0.0.1", "-p", &port.to_string()]).stdout(null()).stderr(null());
    let (server, endpoint) = (Bucket(server.spawn().expect("moto_server")), format!("http://127.0.0.1:{port}"));
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    for _ in 0..600 {
        match http.put(format!("{endpoint}/{name}")).send().await {
            Ok(made) if made.status().is_success() => return (server, endpoint),
            _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
    panic!("moto_server does not answer");
}

#[tokio::test]
async fn files_are_kept_in_a_bucket_just_as_well() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (_server, endpoint) = bucket("chat").await;
    let files = rowcast_chat::FilesPlace::S3 {
        bucket: "chat".into(),
        prefix: "below".into(),
        endpoint: Some(endpoint),
        region: "us-east-1".into(),
        access_key: Some("key".into()),
        secret_key: Some("secret".into()),
    };
    let settings = Settings { files, types: vec!["*/*".into()], ..open() };
    let world = World::with(Base::new(Kind::Sqlite).await, settings, LogPlace::Memory).await;
    let (mut ann, bob, room) = two_in_a_talk(&world).await;
    // One in a piece, a picture, and one in several parts.
    for (name, bytes) in [("a.txt", b"words".to_vec()), ("b.png", png(600, 10)), ("c.bin", vec![1; 12 << 20])] {
        let sent = send_file(&mut ann, &room, name, bytes.clone()).await;
        assert_eq!(sent.status, 201, "{name} {sent:?}");
        let file = id(&sent.body["file"]["id"]);
        let (status, _, kept) = fetched(&bob, &format!("/files/{file}")).await;
        assert_eq!((status, kept == bytes), (200, true), "{name}");
        let (status, _, part) = fetched_with(&bob, &format!("/files/{file}"), &[("range", "bytes=1-3")]).await;
        assert_eq!((status, &part[..]), (206, &bytes[1..4]), "{name}");
        if name == "b.png" {
            assert_eq!(fetched(&bob, &format!("/files/{file}/thumbnail")).await.0, 200);
        }
    }
}
