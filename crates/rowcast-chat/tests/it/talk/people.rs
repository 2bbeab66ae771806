//! What the stories have in common: people, and what they do in one line.

use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::browser::{Answer, Browser, Live};
use crate::world::World;

/// Some who have just signed up.
pub(crate) async fn people<const N: usize>(world: &World, names: [&str; N]) -> [Browser; N] {
    let mut all = Vec::new();
    for name in names {
        all.push(Browser::signed_up(world, name).await);
    }
    all.try_into().unwrap_or_else(|_| unreachable!("as many as names"))
}

/// Both have accepted each other.
pub(crate) async fn befriend(one: &mut Browser, two: &mut Browser, two_is_called: &str) {
    let added = one.post("/contacts", json!({ "email": format!("{two_is_called}@example.com") })).await;
    assert_eq!(added.status, 201, "{added:?}");
    let accepted = two.post(&format!("/contacts/{}/accept", one.user), json!({})).await;
    assert_eq!((accepted.status, &accepted.body["contact"]["state"]), (200, &json!("accepted")), "{accepted:?}");
}

/// The id of their direct talk.
pub(crate) async fn talk_of(one: &mut Browser, two: &Browser) -> String {
    let begun = one.post("/rooms", json!({ "kind": "direct", "user": two.user })).await;
    assert!(begun.status < 300, "{begun:?}");
    id(&begun.body["room"]["id"])
}

/// Ann and Bob, who have accepted each other, and their talk.
pub(crate) async fn two_in_a_talk(world: &World) -> (Browser, Browser, String) {
    let [mut ann, mut bob] = people(world, ["ann", "bob"]).await;
    befriend(&mut ann, &mut bob, "bob").await;
    let room = talk_of(&mut ann, &bob).await;
    (ann, bob, room)
}

/// The id of a new group.
pub(crate) async fn group_of(one: &mut Browser, name: &str, others: &[&Browser]) -> String {
    let members: Vec<&str> = others.iter().map(|other| other.user.as_str()).collect();
    let made = one.post("/rooms", json!({ "kind": "group", "name": name, "members": members })).await;
    assert_eq!(made.status, 201, "{made:?}");
    id(&made.body["room"]["id"])
}

pub(crate) fn id(value: &Json) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no id")).to_owned()
}

/// Tries to say something.
pub(crate) async fn try_to_say(who: &mut Browser, room: &str, body: &str) -> Answer {
    let message = json!({ "nonce": Uuid::new_v4().to_string(), "body": body });
    who.post(&format!("/rooms/{room}/messages"), message).await
}

/// Says something, and returns its row.
pub(crate) async fn say(who: &mut Browser, room: &str, body: &str) -> Json {
    let said = try_to_say(who, room, body).await;
    assert_eq!(said.status, 201, "{said:?}");
    said.body["message"].clone()
}

pub(crate) async fn delete(who: &mut Browser, path: &str) -> u16 {
    who.send(who.request(Method::DELETE, &format!("/chat/api{path}"))).await.status
}

pub(crate) async fn put(who: &mut Browser, path: &str) -> u16 {
    who.send(who.request(Method::PUT, &format!("/chat/api{path}"))).await.status
}

/// Waits for a change of a row for which something is so.
pub(crate) async fn hears_of(live: &mut Live, is_it: impl Fn(&str, &Json) -> bool) -> Json {
    loop {
        let change = live.hears("change").await;
        if is_it(change["op"].as_str().unwrap_or_default(), &change["row"]) {
            return change;
        }
    }
}

/// What is at a path: the status, the headers, and the bytes.
pub(crate) async fn fetched(who: &Browser, path: &str) -> (u16, HeaderMap, Vec<u8>) {
    fetched_with(who, path, &[]).await
}

/// The same, asked for with further headers.
pub(crate) async fn fetched_with(who: &Browser, path: &str, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let request = who.request(Method::GET, &format!("/chat/api{path}"));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    let response = request.send().await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.bytes().await.expect("bytes").to_vec())
}

/// Sends a picture of a person or group.
pub(crate) async fn send_picture(who: &mut Browser, bytes: Vec<u8>) -> Answer {
    who.send(who.request(Method::POST, "/chat/api/files?picture=1").body(bytes)).await
}

/// Says a file, which was put into the talk.
pub(crate) async fn say_file(who: &mut Browser, room: &str, file: &str) -> Answer {
    let message = json!({ "nonce": Uuid::new_v4().to_string(), "file": file });
    who.post(&format!("/rooms/{room}/messages"), message).await
}

/// Puts a file into a talk.
pub(crate) async fn send_file(who: &mut Browser, room: &str, name: &str, bytes: Vec<u8>) -> Answer {
    let request = who.request(Method::POST, &format!("/chat/api/files?room={room}&name={name}"));
    who.send(request.header("content-type", "application/octet-stream").body(bytes)).await
}
