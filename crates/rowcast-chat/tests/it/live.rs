//! What changes is seen at once, by whom it concerns, whoever has changed it.

use serde_json::{Value as Json, json};

use crate::browser::Browser;
use crate::world::{KINDS, World, open};

/// The next change of a row, as `op`, and the row.
async fn change(live: &mut crate::browser::Live) -> (String, Json) {
    let message = live.hears("change").await;
    (message["op"].as_str().unwrap_or_default().to_owned(), message["row"].clone())
}

#[tokio::test]
async fn a_profile_that_somebody_changes_in_the_database_changes_in_the_page() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let mut ann = Browser::signed_up(&world, "ann").await;
        let bob = Browser::signed_up(&world, "bob").await;
        let mut live = ann.live().await;
        let rows = live.follow("table:chat_profiles").await;
        assert_eq!((rows.len(), &rows[0]["id"]), (1, &json!(ann.user)), "{kind:?}: only her own");
        world.run(&format!("UPDATE chat_profiles SET about = 'by hand' WHERE id = '{}'", bob.user)).await;
        world.run(&format!("UPDATE chat_profiles SET about = 'by hand, too' WHERE id = '{}'", ann.user)).await;
        let (op, row) = change(&mut live).await;
        assert_eq!((&*op, &row["id"], &row["about"]), ("update", &json!(ann.user), &json!("by hand, too")), "{kind:?}");
        let answer = ann.patch("/me", json!({ "name": " Ann\u{202e} Other ", "about": "" })).await;
        assert_eq!((answer.status, &answer.body["user"]["name"]), (200, &json!("Ann Other")), "{kind:?} {answer:?}");
        let (_, row) = change(&mut live).await;
        assert_eq!((&row["name"], &row["about"]), (&json!("Ann Other"), &json!("")), "{kind:?}");
    }
}

#[tokio::test]
async fn a_name_changes_in_all_rooms_with_its_profile() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let mut ann = Browser::signed_up(&world, "ann").await;
        let bob = Browser::signed_up(&world, "bob").await;
        let eve = Browser::signed_up(&world, "eve").await;
        let room = "11111111-1111-4111-8111-111111111111";
        world
            .run(&format!("INSERT INTO chat_rooms (id, kind, created_by) VALUES ('{room}', 'direct', '{}')", ann.user))
            .await;
        for (user, name) in [(&ann.user, "ann"), (&bob.user, "bob")] {
            let row = format!("('{room}', '{user}', 'member', '{name}')");
            world.run(&format!("INSERT INTO chat_members (room, user_id, role, name) VALUES {row}")).await;
        }
        let (mut live, mut strange) = (bob.live().await, eve.live().await);
        assert_eq!(live.follow("table:chat_members").await.len(), 2, "{kind:?}");
        assert_eq!(strange.follow("table:chat_members").await.len(), 0, "{kind:?}: she is in no room");
        assert_eq!(ann.patch("/me", json!({ "name": "Anna" })).await.status, 200, "{kind:?}");
        let (_, row) = change(&mut live).await;
        assert_eq!((&row["user_id"], &row["name"]), (&json!(ann.user), &json!("Anna")), "{kind:?}");
        // What she hears first is about her own room, which is made after it.
        let own = "22222222-2222-4222-8222-222222222222";
        let row = format!("('{own}', '{}', 'owner', 'eve')", eve.user);
        world.run(&format!("INSERT INTO chat_members (room, user_id, role, name) VALUES {row}")).await;
        let rows = strange.hears("snapshot").await;
        assert_eq!(rows["rows"][0]["room"], own, "{kind:?} {rows}");
    }
}

#[tokio::test]
async fn a_picture_is_ones_own_file_and_of_no_room() {
    let world = World::new().await;
    let mut ann = Browser::signed_up(&world, "ann").await;
    let bob = Browser::signed_up(&world, "bob").await;
    for (id, owner, room, kind) in [
        ("a", &ann.user, "NULL", "image/png"),
        ("b", &bob.user, "NULL", "image/png"),
        ("c", &ann.user, "'r'", "image/png"),
        ("d", &ann.user, "NULL", "text/html"),
    ] {
        let row = format!("('{id}', '{owner}', {room}, 'n', '{kind}', 1)");
        world.run(&format!("INSERT INTO chat_files (id, owner, room, name, type, bytes) VALUES {row}")).await;
    }
    for file in ["b", "c", "d", "none"] {
        assert_eq!(ann.patch("/me", json!({ "picture": file })).await.status, 404, "{file}");
    }
    assert_eq!(ann.patch("/me", json!({ "picture": "a" })).await.body["user"]["picture"], "a");
    assert_eq!(ann.patch("/me", json!({ "name": "Ann" })).await.body["user"]["picture"], "a", "nothing was said of it");
    assert_eq!(ann.patch("/me", json!({ "picture": null })).await.body["user"]["picture"], Json::Null);
}

#[tokio::test]
async fn a_link_leads_to_its_owner_until_there_is_another() {
    let world = World::new().await;
    let mut ann = Browser::signed_up(&world, "ann").await;
    let mut bob = Browser::signed_up(&world, "bob").await;
    let me = ann.get("/me").await;
    let link = me.body["link"].as_str().expect("a link").to_owned();
    assert!(link.starts_with(&format!("http://{}/chat/add/", world.address)), "{link}");
    let code = link.rsplit('/').next().expect("a code").to_owned();
    let found = bob.get(&format!("/links/{code}")).await;
    assert_eq!(found.body["user"], json!({ "id": ann.user, "name": "ann", "picture": null }));
    let picture = ann.request(reqwest::Method::GET, "/chat/api/me/link.svg").send().await.expect("an answer");
    assert_eq!(picture.headers()["content-type"], "image/svg+xml");
    assert!(picture.text().await.expect("text").contains("<svg"));

    let blocked = format!("('{}', '{}', 'blocked')", ann.user, bob.user);
    world.run(&format!("INSERT INTO chat_contacts (owner, contact, state) VALUES {blocked}")).await;
    assert_eq!(bob.get(&format!("/links/{code}")).await.status, 404, "whoever is blocked finds nobody");
    world.run("DELETE FROM chat_contacts").await;
    let new = ann.post("/me/link", json!({})).await;
    assert_ne!(new.body["link"], json!(link));
    assert_eq!(bob.get(&format!("/links/{code}")).await.status, 404);
}
