//! Parts of files, as players of audio and video ask for them.

use super::files::png;
use super::people::{fetched, fetched_with, id, send_file, two_in_a_talk};
use crate::world::{World, open};

#[tokio::test]
async fn a_player_gets_the_part_that_it_asks_for() {
    let world = World::new().await;
    let (mut ann, bob, room) = two_in_a_talk(&world).await;
    // As an MP3 begins, and long enough to be more than one piece.
    let song: Vec<u8> = b"ID3\x04\0\0".iter().copied().chain((0..300_000_u32).map(|n| (n % 251) as u8)).collect();
    let size = song.len();
    let sent = send_file(&mut ann, &room, "song.mp3", song.clone()).await;
    assert_eq!((sent.status, &sent.body["file"]["type"]), (201, &"audio/mpeg".into()), "{sent:?}");
    let path = format!("/files/{}", id(&sent.body["file"]["id"]));

    let (status, headers, bytes) = fetched(&bob, &path).await;
    assert_eq!((status, &headers["accept-ranges"], bytes == song), (200, &"bytes".parse().expect("a value"), true));
    let tag = headers["etag"].to_str().expect("text").to_owned();
    for (range, part) in [
        // What Safari asks first.
        ("bytes=0-1", 0..2),
        ("bytes=299000-", 299_000..size),
        ("bytes=-10", size - 10..size),
        ("bytes=5-99999999", 5..size),
        ("bytes=0-", 0..size),
    ] {
        for more in [&[][..], &[("if-range", &*tag)]] {
            let asked: Vec<_> = [("range", range)].iter().chain(more).copied().collect();
            let (status, headers, bytes) = fetched_with(&bob, &path, &asked).await;
            let shown = format!("bytes {}-{}/{size}", part.start, part.end - 1);
            assert_eq!((status, headers["content-range"].to_str().expect("text")), (206, &*shown), "{range}");
            assert_eq!(headers["content-length"].to_str().expect("text"), part.len().to_string(), "{range}");
            assert_eq!(
                (&headers["content-type"], headers["etag"].to_str().expect("text")),
                (&"audio/mpeg".parse().expect("a value"), &*tag)
            );
            assert!(headers.contains_key("content-security-policy") && bytes == song[part.clone()], "{range}");
        }
    }
    // What is asked for behind the end.
    let (status, headers, body) = fetched_with(&bob, &path, &[("range", "bytes=400000-")]).await;
    assert_eq!((status, headers["content-range"].to_str().expect("text")), (416, &*format!("bytes */{size}")));
    assert!(String::from_utf8_lossy(&body).contains("bad_message"));
    // Of another version, of several parts, and of what is no range: all.
    for asked in [
        &[("range", "bytes=0-1"), ("if-range", "\"another\"")][..],
        &[("range", "bytes=0-1"), ("if-range", "Sat, 21 Nov 2026 20:00:00 GMT")],
        &[("range", "bytes=0-1,3-4")],
        &[("range", "pages=1-2")],
    ] {
        let (status, _, bytes) = fetched_with(&bob, &path, asked).await;
        assert_eq!((status, bytes == song), (200, true), "{asked:?}");
    }
    // What is held already is not sent, whatever part of it is asked for.
    let (status, _, bytes) = fetched_with(&bob, &path, &[("range", "bytes=0-1"), ("if-none-match", &tag)]).await;
    assert_eq!((status, bytes.len()), (304, 0));
}

#[tokio::test]
async fn a_part_is_for_those_who_may_have_the_whole() {
    let world = World::start(crate::world::Kind::Sqlite, open()).await;
    let (mut ann, bob, room) = two_in_a_talk(&world).await;
    let eve = crate::browser::Browser::signed_up(&world, "eve").await;
    let sent = send_file(&mut ann, &room, "a.png", png(900, 300)).await;
    let path = format!("/files/{}", id(&sent.body["file"]["id"]));
    for path in [path.clone(), format!("{path}/thumbnail")] {
        let (_, _, whole) = fetched(&bob, &path).await;
        let (status, _, part) = fetched_with(&bob, &path, &[("range", "bytes=2-5")]).await;
        assert_eq!((status, &part[..]), (206, &whole[2..6]), "{path}");
        assert_eq!(fetched_with(&eve, &path, &[("range", "bytes=2-5")]).await.0, 404, "{path}");
        assert_eq!(fetched_with(&eve, &path, &[("range", "bytes=99999999-")]).await.0, 404, "{path}");
    }
}
