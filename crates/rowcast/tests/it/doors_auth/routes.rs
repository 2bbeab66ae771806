//! All paths that there are: each asks for a token, but for those that are listed here with a reason.

use std::collections::BTreeSet;

use reqwest::Method;

use super::world::World;

/// Paths that answer without a token, and with what.
const OPEN: [(&str, &str, &[u16]); 9] = [
    // Here one gets the cookie, and gives it back.
    ("POST", "/v1/login", &[400, 404, 415]),
    ("DELETE", "/v1/session", &[204]),
    // InfluxDB's clients ask whether somebody is there.
    ("GET", "/ping", &[204]),
    ("HEAD", "/ping", &[204]),
    // The viewer is a page, which shows nothing by itself.
    ("*", "/listen", &[308, 405]),
    ("*", "/listen/", &[200, 405]),
    // Whoever connects here says who he is when he is connected.
    ("GET", "/v1/ws", &[400]),
    // Refuses namespace by namespace.
    ("*", "/socket.io", &[400]),
    ("*", "/socket.io/", &[400]),
];

/// The paths of a router, as axum shows them.
fn paths(router: &axum::Router) -> BTreeSet<String> {
    let shown = format!("{router:?}");
    let is_route = |part: &&str| part.len() > 1 && part.starts_with('/') && !part.contains("__private__");
    shown.split('"').filter(is_route).map(str::to_owned).collect()
}

#[tokio::test]
async fn every_path_asks_for_a_token_but_for_a_few() {
    let world = World::new().await;
    let paths = paths(&world.gateway.router());
    for known in ["/v1/tables/{table}", "/v1/status", "/ws", "/api/v2/write", "/socket.io/", "/v1/admin/disconnect"] {
        assert!(paths.contains(known), "{known} is not seen; among {paths:?}");
    }
    let methods = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    for path in &paths {
        let target = path.replace("{*rest}", "nothing").replace('{', "").replace('}', "");
        for method in &methods {
            let status = world.request(method.clone(), &target).send().await.expect("an answer").status().as_u16();
            let open = OPEN.iter().find(|(m, p, _)| (*m == "*" || *m == method.as_str()) && p == path);
            match open {
                None => assert_eq!(status, 401, "{method} {path}"),
                Some((.., expected)) => assert!(expected.contains(&status), "{method} {path}: {status}"),
            }
        }
    }
}
