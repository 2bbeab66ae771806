//! Presence of ten thousand users on one channel: joining, the list, one change told to all, and what each takes in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use rowcast::event::Channel;
use rowcast::hub::{Listener, Queue, SessionKey, SubscriptionKey};
use rowcast::presence::{Key, Presence, Settings, Track, Watch};
use rowcast::protocol::encode::Wire;
use tempfile::TempDir;

use crate::Scale;
use crate::gateway::{self, DATABASE};
use crate::load::{Client, on_one_thread};
use crate::matching::{processor_time, resident};
use crate::table::{Table, number, ratio};
use crate::ticks;

/// What each user says of itself.
const STATE: &str = r#"{"status":"online","at":[12,345]}"#;
/// Connections that are being opened at the same time.
const OPENING: usize = 64;
/// So often one change is told to all.
const ROUNDS: u32 = 20;

pub(crate) fn run(scale: &Scale) -> Result<()> {
    let users = scale.pick(10_000, 500);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{}", runtime.block_on(rooms(users))?);
    println!("{}", on_one_thread(sockets(scale, users))?);
    Ok(())
}

fn key(name: &str) -> Result<Key> {
    let channel = Channel::of_operator(&format!("room:{name}"))?;
    Ok(Key { tenant: "".into(), channel })
}

fn track(presence: &Arc<Presence>, key: &Key, n: usize) -> Track {
    presence.track(key, format!("user {n}").into(), Some(STATE.into()))
}

/// A watcher whose client takes everything at once.
fn watch(presence: &Arc<Presence>, key: &Key, n: usize) -> (Watch, Arc<Queue>) {
    let queue = Arc::new(Queue::new(64 << 20));
    let (session, subscription) = (SessionKey(n as u64), SubscriptionKey(0));
    let (wire, id) = (Wire::WebSocket, "\"p\"".into());
    let listener = Listener { session, subscription, queue: queue.clone(), wire, id };
    let mut watch = presence.watch(key, listener);
    while watch.take().is_some() {}
    (watch, queue)
}

/// Until what is to be told has been: tasks run when this one waits.
async fn told(queue: &Queue) {
    while queue.status().0 == 0 {
        tokio::task::yield_now().await;
    }
}

/// The rooms alone, without sessions and sockets: processor time of the one thread.
async fn rooms(users: usize) -> Result<Table> {
    let head = ["what", "CPU ms", "CPU µs each", "× floor", "bytes each"];
    let mut out = Table::new(format!("presence: {users} users on one channel, in process"), &head);
    let presence = Presence::new(Settings { tick: Duration::ZERO, grace: Duration::ZERO });
    let lobby = key("lobby")?;
    let each = |took: Duration| number(took.as_secs_f64() * 1e6 / users as f64);
    let ms = |took: Duration| number(took.as_secs_f64() * 1e3);
    let none = || "–".to_owned();

    let (before, began) = (resident()?, processor_time()?);
    let tracks: Vec<Track> = (0..users).map(|n| track(&presence, &lobby, n)).collect();
    let took = processor_time()? - began;
    let bytes = resident()?.saturating_sub(before) / users as u64;
    out.row(["all join, nobody watches".into(), ms(took), each(took), none(), bytes.to_string()]);

    let began = processor_time()?;
    let list = presence.document(&lobby);
    let took = processor_time()? - began;
    out.row(["the list".into(), ms(took), each(took), none(), (list.len() / users).to_string()]);

    let (before, began) = (resident()?, processor_time()?);
    let watchers: Vec<(Watch, Arc<Queue>)> = (0..users).map(|n| watch(&presence, &lobby, n)).collect();
    let took = processor_time()? - began;
    let bytes = resident()?.saturating_sub(before) / users as u64;
    out.row(["all begin to watch, each with the list".into(), ms(took), each(took), none(), bytes.to_string()]);

    let floor = floor(users)?;
    out.row(["floor: one frame into as many locked queues".into(), ms(floor), each(floor), "1.00×".into(), none()]);
    let mut took = Duration::ZERO;
    for round in 0..ROUNDS {
        let began = processor_time()?;
        let one = track(&presence, &lobby, users + round as usize);
        told(&watchers[0].1).await;
        took += processor_time()? - began;
        let heard = watchers.iter().filter(|(_, queue)| !queue.take(usize::MAX).items.is_empty()).count();
        ensure!(heard == users, "{heard} have heard of the join");
        one.leave();
        told(&watchers[0].1).await;
        watchers.iter().for_each(|(_, queue)| drop(queue.take(usize::MAX)));
    }
    let took = took / ROUNDS;
    let times = ratio(took.as_secs_f64(), floor.as_secs_f64());
    out.row(["one join told to all".into(), ms(took), each(took), times, none()]);
    drop((tracks, watchers));

    let (before, began) = (resident()?, processor_time()?);
    let rooms = (0..users).map(|n| Ok(track(&presence, &key(&format!("room {n}"))?, n)));
    let rooms = rooms.collect::<Result<Vec<Track>>>()?;
    let took = processor_time()? - began;
    let bytes = resident()?.saturating_sub(before) / users as u64;
    out.row(["as many channels, one user on each".into(), ms(took), each(took), none(), bytes.to_string()]);
    drop(rooms);
    out.note(format!("The list has {} bytes, in pieces that all who begin at the same time share. Memory is what the process has grown by.", list.len()));
    Ok(out)
}

/// Processor time of putting one shared frame into so many queues, each behind its lock.
fn floor(users: usize) -> Result<Duration> {
    let queues: Vec<Arc<Mutex<VecDeque<Bytes>>>> = (0..users).map(|_| Arc::default()).collect();
    let frame = Bytes::from(vec![b'x'; 130]);
    let began = processor_time()?;
    for _ in 0..ROUNDS {
        queues.iter().for_each(|queue| queue.lock().push_back(frame.clone()));
    }
    Ok((processor_time()? - began) / ROUNDS)
}

/// Over WebSockets: a message to a room, which costs as little as anything told to all, is the floor.
async fn sockets(scale: &Scale, users: usize) -> Result<Table> {
    let folder = TempDir::new()?;
    ticks::create(&folder.path().join(DATABASE))?;
    let server = gateway::start(scale, folder.path())?;
    let head = ["what", "wall ms", "server CPU ms", "server CPU µs each", "× floor"];
    let mut out = Table::new(format!("presence: {users} WebSockets on one channel"), &head);
    let connecting = stream::iter(0..users).map(|_| Client::connect(server.address)).buffer_unordered(OPENING);
    let mut clients: Vec<Client> = connecting.try_collect().await?;
    let mut talker = Client::connect(server.address).await?;
    let each = |took: Duration| number(took.as_secs_f64() * 1e6 / users as f64);
    let ms = |took: Duration| number(took.as_secs_f64() * 1e3);

    let (cpu, began) = (server.cpu()?, Instant::now());
    let joins = clients.iter_mut().enumerate().map(|(n, client)| async move {
        client.say(&format!(r#"{{"type":"track","channel":"room:crowd","user":"user {n}","state":{STATE}}}"#)).await?;
        client.wait_for(b"\"tracked\"").await
    });
    try_join_all(joins).await?;
    let (wall, took) = (began.elapsed(), server.cpu()? - cpu);
    out.row(["all join, nobody watches".into(), ms(wall), ms(took), each(took), "–".into()]);

    let (cpu, began) = (server.cpu()?, Instant::now());
    talker.say(r#"{"type":"subscribe","id":"p","channel":"presence:room:crowd"}"#).await?;
    talker.wait_for(format!("\"user {}\"", users - 1).as_bytes()).await?;
    let (wall, took) = (began.elapsed(), server.cpu()? - cpu);
    out.row(["one takes the list".into(), ms(wall), ms(took), each(took), "–".into()]);
    talker.say(r#"{"type":"unsubscribe","id":"p"}"#).await?;

    for (channel, needle) in [("room:told", &b"\"subscribed\""[..]), ("presence:room:told", b"\"full\":true")] {
        let text = format!(r#"{{"type":"subscribe","id":"{channel}","channel":"{channel}"}}"#);
        let asking = clients.iter_mut().map(|client| async {
            client.say(&text).await?;
            client.wait_for(needle).await
        });
        try_join_all(asking).await?;
    }
    let message = r#"{"type":"publish","channel":"room:told","event":"e","data":{"user":"one","pad":"as long as a join"},"ephemeral":true}"#;
    let join = r#"{"type":"track","channel":"room:told","user":"one","state":{}}"#;
    let leave = r#"{"type":"untrack","channel":"room:told"}"#;
    let mut floor = 0.0;
    for (what, says) in [
        ("floor: a message to a room, told to all", [(message, &b"\"message\""[..]), (message, b"\"message\"")]),
        ("one join, then one leave, told to all", [(join, &b"\"joins\""[..]), (leave, b"\"leaves\"")]),
    ] {
        let (mut wall, cpu) = (Duration::ZERO, server.cpu()?);
        for _ in 0..ROUNDS {
            for (text, needle) in says {
                let began = Instant::now();
                talker.say(text).await?;
                try_join_all(clients.iter_mut().map(|client| client.wait_for(needle))).await?;
                wall += began.elapsed();
            }
        }
        let (wall, took) = (wall / ROUNDS / 2, (server.cpu()? - cpu) / ROUNDS / 2);
        floor = if floor == 0.0 { took.as_secs_f64() } else { floor };
        out.row([what.into(), ms(wall), ms(took), each(took), ratio(took.as_secs_f64(), floor)]);
    }
    out.note("Until the last of the clients has heard it; the clients run on the same processors.");
    Ok(out)
}
