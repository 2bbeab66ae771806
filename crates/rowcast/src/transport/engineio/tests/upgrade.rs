//! The change from polling to WebSocket while messages flow both ways: nothing is lost, nothing comes twice or out of order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::yield_now;

use super::{Socket, World, over_websocket};
use crate::protocol::engineio::Eio;
use crate::protocol::frame;
use crate::session::Limits;
use crate::transport::engineio::{Heard, Peer, Settings};

const MESSAGES: u32 = 400;

/// Says numbers, and tells which ones it has heard.
async fn count(mut peer: Peer, heard: mpsc::Sender<u32>) {
    let (mut next, mut out) = (0, Vec::new());
    loop {
        tokio::select! {
            came = peer.hear(true) => match came {
                Ok(Heard::Text(text)) => {
                    heard.try_send(text.parse().expect("a number")).expect("room");
                }
                _ => return,
            },
            () = yield_now(), if next < MESSAGES => {
                out.push(frame::text(format!("4{next}").as_bytes()));
                next += 1;
                if peer.send(&mut out).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// As Socket.IO's own client does it: after `3probe` it waits for the poll and the POST that are under way, and only then changes over.
async fn change_over(world: Arc<World>, eio: Eio, after_posts: u32, after_polls: u32) {
    let query = world.polling(eio).await;
    let (mut said, mut heard) = (0, Vec::new());
    let pack = |n: u32| match eio {
        Eio::V4 => format!("4{n}"),
        Eio::V3 => format!("{}:4{n}", n.to_string().len() + 1),
    };
    for _ in 0..after_polls {
        heard.extend(world.get(&query).await.packets(eio));
    }
    for _ in 0..after_posts {
        assert_eq!(world.post(&query, &pack(said)).await.status, 200);
        said += 1;
    }
    let mut socket = world.socket(&over_websocket(&query)).await.expect("a socket");
    socket.say("2probe").await;
    // Polling goes on until the probe is answered.
    let mut probed = false;
    while !probed {
        let polling = async {
            let polled = world.get(&query).await;
            assert_eq!(polled.status, 200, "{}", polled.text());
            polled.packets(eio)
        };
        let posting = async {
            assert_eq!(world.post(&query, &pack(said)).await.status, 200);
        };
        let answered = async {
            tokio::select! {
                biased;
                text = socket.hear() => {
                    assert_eq!(text, "3probe");
                    true
                }
                () = tokio::time::sleep(Duration::from_millis(5)) => false,
            }
        };
        let (packets, (), answered) = tokio::join!(polling, posting, answered);
        said += 1;
        probed = answered;
        heard.extend(packets);
    }
    socket.say("5").await;
    while said < MESSAGES {
        socket.say(&format!("4{said}")).await;
        said += 1;
    }
    hear_the_rest(&mut socket, heard).await;
}

async fn hear_the_rest(socket: &mut Socket, mut heard: Vec<String>) {
    heard.retain(|packet| packet != "6");
    while heard.len() < MESSAGES as usize {
        heard.push(socket.hear().await);
    }
    let expected: Vec<String> = (0..MESSAGES).map(|n| format!("4{n}")).collect();
    assert_eq!(heard, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_reordered_while_a_client_changes_over() {
    for eio in [Eio::V3, Eio::V4] {
        for (posts, polls) in [(0, 0), (1, 0), (0, 1), (3, 2), (1, 7), (20, 3), (0, 24)] {
            let (sender, mut heard) = mpsc::channel(MESSAGES as usize);
            let serve = move |peer| count(peer, sender.clone());
            let world = Arc::new(World::with(Settings::default(), Limits::default(), serve).await);
            change_over(world, eio, posts, polls).await;
            for n in 0..MESSAGES {
                assert_eq!(heard.recv().await, Some(n));
            }
        }
    }
}

#[tokio::test]
async fn a_try_that_fails_leaves_polling_as_it_was() {
    let world = World::echo(Settings { upgrade_timeout: Duration::from_millis(50), ..Settings::default() }).await;
    let query = world.polling(Eio::V4).await;
    // One that says something else, one that goes away, and one that says nothing for too long.
    let mut wrong = world.socket(&over_websocket(&query)).await.expect("a socket");
    wrong.say("4hello").await;
    wrong.until_closed().await;
    drop(world.socket(&over_websocket(&query)).await.expect("a socket"));
    let mut silent = world.socket(&over_websocket(&query)).await.expect("a socket");
    silent.until_closed().await;
    assert_eq!(world.post(&query, "4a").await.status, 200);
    assert_eq!(world.get(&query).await.text(), "4a");
    let mut second = world.socket(&over_websocket(&query)).await.expect("a socket");
    second.say("2probe").await;
    assert_eq!(second.hear().await, "3probe");
}
