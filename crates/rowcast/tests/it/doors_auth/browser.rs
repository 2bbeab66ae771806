//! Browsers: the cookie, and pages of others that have a browser send it.

use reqwest::Method;
use rowcast::gateway::Origins;
use serde_json::{Value as Json, json};

use super::world::{AUDIENCE, COOKIE, PASSWORD, SECRET, Wish, World, bearer, cookie, now, sign, token, token_for};

const EVIL: &str = "https://evil.example";

/// A request that changes something, and a WebSocket, with the cookie and these headers: whether each is let in.
async fn check(world: &World, headers: &[(&'static str, String)], allowed: bool) {
    let anna = token("anna");
    let body = json!({ "channel": "room:x", "event": "e", "data": 1 });
    let mut request = world.post("/v1/publish", &body).header("cookie", cookie(&anna).1);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), if allowed { 200 } else { 403 }, "POST with {headers:?}");
    let all: Vec<_> = [cookie(&anna)].into_iter().chain(headers.iter().cloned()).collect();
    let socket = world.socket("/v1/ws", &all).await;
    match allowed {
        true => assert_eq!(socket.expect("a socket").next().await["type"], "hello"),
        false => assert!(matches!(socket, Err((403, _))), "a WebSocket with {headers:?}"),
    }
}

fn origin(origin: &str) -> Vec<(&'static str, String)> {
    vec![("origin", origin.to_owned())]
}

fn site(site: &str) -> Vec<(&'static str, String)> {
    vec![("sec-fetch-site", site.to_owned())]
}

#[tokio::test]
async fn the_cookie_is_good_only_for_pages_that_may_use_it() {
    let named = "https://app.example.com";
    for origins in [Origins::SameHost, Origins::Any, Origins::These(vec![named.into()])] {
        let is_named = matches!(origins, Origins::These(_));
        let world = World::with(Wish { origins, ..Wish::default() }).await;
        let own = format!("http://{}", world.authority());
        check(&world, &origin(&own), true).await;
        check(&world, &site("same-origin"), true).await;
        check(&world, &origin(named), is_named).await;
        check(&world, &[], false).await;
        for foreign in [EVIL, "null", "https://app.example.com.evil.example", &format!("{own}1")] {
            check(&world, &origin(foreign), false).await;
        }
        for foreign in ["cross-site", "same-site", "none", "anything"] {
            check(&world, &site(foreign), false).await;
        }
        // A program has no Origin, and no cookie by accident.
        let sent = world.post("/v1/publish", &json!({ "channel": "room:x", "event": "e", "data": 1 }));
        let sent = sent.header("authorization", bearer(&token("anna")).1).send().await.expect("an answer");
        assert_eq!(sent.status(), 200);
        // Reading is left to the browser, which gives the answer to nobody else.
        let read = world.get("/v1/tables").header("cookie", cookie(&token("anna")).1).send().await.expect("an answer");
        assert_eq!(read.status(), 200);
        assert_eq!(read.headers()["cache-control"], "no-store");
        let read =
            world.get("/v1/tables").header("cookie", cookie(&token("anna")).1).header("sec-fetch-site", "cross-site");
        assert_eq!(read.send().await.expect("an answer").status(), 403);
    }
}

#[tokio::test]
async fn a_token_becomes_a_cookie_that_scripts_do_not_see() {
    let world = World::new().await;
    let anna = token_for("anna", 600);
    let begun = world.request(Method::POST, "/v1/session").header("authorization", bearer(&anna).1).send().await;
    let begun = begun.expect("an answer");
    assert_eq!(begun.status(), 200);
    let set = begun.headers()["set-cookie"].to_str().expect("text").to_owned();
    let expected = format!("{COOKIE}={anna}; Path=/; HttpOnly; SameSite=Strict; Max-Age=");
    let seconds: u64 = set.strip_prefix(&expected).unwrap_or_else(|| panic!("{set}")).parse().expect("seconds");
    assert!((590..=600).contains(&seconds), "{seconds}");
    let said: Json = begun.json().await.expect("JSON");
    assert_eq!((&said["user"], &said["standing"], &said["tenant"]), (&json!("anna"), &json!("known"), &Json::Null));

    let who = world.get("/v1/whoami").header("cookie", format!("{COOKIE}={anna}")).send().await.expect("an answer");
    assert_eq!(who.json::<Json>().await.expect("JSON"), said);

    let elsewhere = world.request(Method::POST, "/v1/session").header("authorization", bearer(&anna).1);
    let elsewhere = elsewhere.header("host", "app.example.com").send().await.expect("an answer");
    assert!(elsewhere.headers()["set-cookie"].to_str().expect("text").ends_with("; Secure"));

    let ended = world.request(Method::DELETE, "/v1/session").header("cookie", cookie(&anna).1).send().await;
    let ended = ended.expect("an answer");
    assert_eq!(ended.status(), 204);
    assert_eq!(ended.headers()["set-cookie"], format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"));
    for method in [Method::POST, Method::DELETE] {
        let foreign = world.request(method.clone(), "/v1/session").header("authorization", bearer(&anna).1);
        let foreign = foreign.header("sec-fetch-site", "cross-site").send().await.expect("an answer");
        assert_eq!((foreign.status().as_u16(), foreign.headers().get("set-cookie")), (403, None), "{method}");
    }
}

#[tokio::test]
async fn a_password_becomes_a_cookie_and_says_nothing_of_others() {
    let world = World::new().await;
    let log_in = async |user: &str, password: &str, headers: &[(&'static str, String)]| {
        let request = world.post("/v1/login", &json!({ "user": user, "password": password }));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, value));
        request.send().await.expect("an answer")
    };
    let answer = log_in("carla", PASSWORD, &[("cookie", format!("{COOKIE}=an old one"))]).await;
    assert_eq!(answer.status(), 200);
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.contains("; HttpOnly; SameSite=Strict; Max-Age="), "{set}");
    let said: Json = answer.json().await.expect("JSON");
    assert_eq!((&said["user"], &said["standing"]), (&json!("carla"), &json!("known")));
    assert_eq!(said.get("token"), None, "no script gets it");
    let cookie = set.split(';').next().expect("a cookie").to_owned();
    let origin = format!("http://{}", world.authority());
    let socket = world.socket("/v1/ws", &[("cookie", cookie), ("origin", origin)]).await.expect("a socket");
    drop(socket);

    for headers in [vec![("origin", EVIL.to_owned())], vec![("sec-fetch-site", "cross-site".to_owned())]] {
        assert_eq!(log_in("carla", PASSWORD, &headers).await.status(), 403, "{headers:?}");
    }
    let form = world.request(Method::POST, "/v1/login").header("content-type", "text/plain");
    let form = form.body(json!({ "user": "carla", "password": PASSWORD }).to_string());
    assert_eq!(form.send().await.expect("an answer").status(), 415, "a form of another page can send this");

    let mut answers = Vec::new();
    for (user, password) in [("carla", "wrong"), ("nobody", PASSWORD)] {
        let answer = log_in(user, password, &[]).await;
        assert_eq!((answer.status().as_u16(), answer.headers().get("set-cookie")), (401, None));
        answers.push(answer.text().await.expect("text"));
    }
    assert_eq!(answers[0], answers[1], "whether there is such a user is not told");
    let mut last = 401;
    for _ in 0..8 {
        last = log_in("carla", "wrong", &[]).await.status().as_u16();
    }
    assert_eq!(last, 429);
    let waits = log_in("carla", PASSWORD, &[]).await;
    assert_eq!(waits.status(), 429, "the right password waits, too");
    assert!(waits.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn an_old_cookie_does_not_keep_a_new_token_from_becoming_one() {
    let world = World::new().await;
    let request = world.request(Method::POST, "/v1/session").header("authorization", bearer(&token("anna")).1);
    let answer = request.header("cookie", format!("{COOKIE}=garbage")).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    let forgotten = world.request(Method::DELETE, "/v1/session").header("cookie", format!("{COOKIE}=garbage"));
    assert_eq!(forgotten.send().await.expect("an answer").status(), 204);
}

/// A Socket.IO client that polls, with these headers in its handshake: the answer to its wish for the root namespace.
async fn poll(world: &World, headers: &[(&'static str, String)]) -> String {
    const TARGET: &str = "/socket.io/?EIO=4&transport=polling";
    let request = headers.iter().fold(world.get(TARGET), |request, (name, value)| request.header(*name, value));
    let opened = request.send().await.expect("an answer").text().await.expect("text");
    let opened: Json =
        serde_json::from_str(opened.strip_prefix('0').unwrap_or_else(|| panic!("{opened}"))).expect("JSON");
    let target = format!("{TARGET}&sid={}", opened["sid"].as_str().expect("a sid"));
    let said = world.request(Method::POST, &target).body("40").send().await.expect("an answer");
    assert_eq!(said.status(), 200);
    world.get(&target).send().await.expect("an answer").text().await.expect("text")
}

#[tokio::test]
async fn who_polls_is_known_by_the_handshake() {
    let world = World::new().await;
    let anna = token("anna");
    for headers in [vec![bearer(&anna)], vec![cookie(&anna)], vec![cookie(&anna), site("same-origin").remove(0)]] {
        assert!(poll(&world, &headers).await.starts_with("40{"), "{headers:?}");
    }
    assert_eq!(poll(&world, &[]).await, r#"44{"message":"this needs a token","data":{"code":"unauthenticated"}}"#);
    let wrong = r#"44{"message":"the token is not valid","data":{"code":"unauthenticated"}}"#;
    assert_eq!(poll(&world, &[bearer("a.b.c")]).await, wrong);
    let foreign = poll(&world, &[cookie(&anna), site("cross-site").remove(0)]).await;
    assert!(foreign.contains(r#""code":"origin_not_allowed""#), "{foreign}");
}

#[tokio::test]
async fn a_page_of_elsewhere_gets_in_by_no_door() {
    let world = World::new().await;
    let anna = token("anna");
    for path in
        ["/v1/ws", "/ws", "/listen/news", "/postgres-websockets/chat/x", "/socket.io/?EIO=4&transport=websocket"]
    {
        let headers = [bearer(&anna), ("origin", EVIL.to_owned())];
        assert!(matches!(world.socket(path, &headers).await, Err((403, _))), "{path}");
    }
    for path in ["/v1/tables", "/v1/stream?channel=table:Data", "/socket.io/?EIO=4&transport=polling", "/v1/whoami"] {
        let answer = world.get(path).header("origin", EVIL).header("authorization", bearer(&anna).1).send().await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status(), 403, "{path}");
        assert!(answer.headers().get("access-control-allow-origin").is_none(), "{path}");
    }
}

#[tokio::test]
async fn the_viewer_loads_nothing_but_its_own_files() {
    let world = World::new().await;
    for path in ["/listen/", "/listen/viewer.js", "/listen/viewer.css"] {
        let answer = world.get(path).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{path}");
        let policy = answer.headers()["content-security-policy"].to_str().expect("text").to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        let text = answer.text().await.expect("text");
        assert!(
            path != "/listen/" || !(text.contains("<style") || text.contains("onclick") || text.contains("style="))
        );
    }
}

#[tokio::test]
async fn a_cookie_that_is_good_no_longer_is_taken_from_the_browser() {
    let world = World::new().await;
    let set = async |value: &str| {
        let answer = world.get("/v1/tables").header("cookie", cookie(value).1).send().await.expect("an answer");
        assert_eq!(answer.status(), 401);
        answer.headers().get("set-cookie").map(|set| set.to_str().expect("text").to_owned())
    };
    for bad in ["garbage".to_owned(), token_for("anna", 0)] {
        let set = set(&bad).await.expect("a cookie");
        assert!(set.starts_with(&format!("{COOKIE}=;")) && set.contains("Max-Age=0"), "{set}");
    }
    // Nothing was wrong with it that will not pass.
    let early = sign(&json!({ "sub": "anna", "aud": AUDIENCE, "nbf": now() + 600, "exp": now() + 900 }), SECRET);
    assert_eq!(set(&early).await, None);
    let header = world.get("/v1/tables").header("authorization", bearer("garbage").1).send().await.expect("an answer");
    assert!(!header.headers().contains_key("set-cookie"), "it has no cookie");
}
