//! Tokens of elsewhere that the gateway trusts: their users are known to it, and nobody in the chat.

use reqwest::Method;
use serde_json::json;

use crate::browser::Browser;
use crate::world::{KINDS, World, open};

/// Everything that the chat's description says is for people.
async fn for_people(world: &World) -> Vec<(Method, String)> {
    let document = Browser::new(world).get("/openapi.json").await.body;
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{id}", "x").replace("{user}", "x").replace("{code}", "x").replace("{emoji}", "x");
        for (method, told) in methods.as_object().expect("methods").iter().filter(|(name, _)| *name != "parameters") {
            if told["security"] != json!([]) {
                all.push((method.to_uppercase().parse().expect("a method"), path.clone()));
            }
        }
    }
    assert!(all.len() > 20, "{all:?}");
    all
}

#[tokio::test]
async fn who_has_no_account_is_told_so_by_every_route() {
    for kind in KINDS {
        let world = World::start(kind, open()).await;
        let ann = Browser::signed_up(&world, "ann").await;
        for user in ["ann", "00000000-0000-4000-8000-000000000000", "auth0|5f7c8ec7c33c6c004bbafe82", "ünknown 👋"] {
            let mut stranger = Browser::known_elsewhere(&world, user);
            for (method, path) in for_people(&world).await {
                let request = stranger.request(method.clone(), &path);
                let answer = stranger.send(request.json(&json!({}))).await;
                let told = (answer.status, &answer.body["error"]["message"]);
                assert_eq!(told, (403, &json!("you have no account in this chat")), "{kind:?} {user} {method} {path}");
            }
            // The gateway itself lets it in, and shows it nothing.
            assert!(stranger.rows("chat_profiles").await.is_empty(), "{kind:?} {user}");
        }
        // What names an account is that account's, whoever has signed it.
        let mut herself = Browser::known_elsewhere(&world, &ann.user);
        assert_eq!(herself.get("/me").await.body["user"]["id"], json!(ann.user), "{kind:?}");
    }
}
