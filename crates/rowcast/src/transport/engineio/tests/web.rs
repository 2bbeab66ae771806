//! What browsers, load balancers and settings ask for.

use super::{World, over_websocket, quick};
use crate::protocol::engineio::Eio;
use crate::transport::engineio::{Cookie, Settings};

#[tokio::test]
async fn a_page_may_send_its_cookies() {
    let world = World::echo(quick()).await;
    let origin = format!("Origin: http://{}\r\n", world.address);
    let answer = world.request("GET", "EIO=4&transport=polling", &origin, b"").await;
    assert_eq!(answer.status, 200);
    let expected = [format!("access-control-allow-origin: http://{}", world.address)];
    for line in expected.iter().map(String::as_str).chain(["access-control-allow-credentials: true"]) {
        assert!(answer.head.contains(line), "{}", answer.head);
    }
    let asks = format!("{origin}Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-own\r\n");
    let answer = world.request("OPTIONS", "EIO=4&transport=polling", &asks, b"").await;
    assert!(matches!(answer.status, 200 | 204));
    for line in [
        "access-control-allow-credentials: true",
        "access-control-allow-headers: x-own",
        "access-control-allow-methods: get,post",
    ] {
        assert!(answer.head.contains(line), "{}", answer.head);
    }
}

#[tokio::test]
async fn pages_that_may_not_are_refused() {
    let world = World::echo(quick()).await;
    let origin = "Origin: https://elsewhere.example\r\n";
    let answer = world.request("GET", "EIO=4&transport=polling", origin, b"").await;
    assert_eq!((answer.status, answer.text()), (403, r#"{"code":4,"message":"Forbidden"}"#.into()));
    assert!(!answer.head.contains("access-control-allow-origin"));
}

#[tokio::test]
async fn a_cookie_tells_the_session_where_one_is_asked_for() {
    let world = World::echo(Settings { cookie: Some(Cookie::default()), ..quick() }).await;
    let answer = world.get("EIO=4&transport=polling").await;
    let sid = super::sid(&answer.text()).to_ascii_lowercase();
    assert!(answer.head.contains(&format!("set-cookie: io={sid}; path=/; httponly; samesite=lax")), "{}", answer.head);
    let without = World::echo(quick()).await;
    assert!(!without.get("EIO=4&transport=polling").await.head.contains("set-cookie"));
}

#[tokio::test]
async fn what_is_switched_off_is_not_served() {
    let check = async |settings: Settings, query: &str, code: u8| {
        let answer = World::echo(settings).await.get(query).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(&format!("\"code\":{code}")), "{}", answer.text());
    };
    check(Settings { eio3: false, ..quick() }, "EIO=3&transport=polling", 5).await;
    check(Settings { polling: false, ..quick() }, "EIO=4&transport=polling", 0).await;
    check(Settings { websocket: false, ..quick() }, "EIO=4&transport=websocket", 0).await;

    let world = World::echo(Settings { allow_upgrades: false, ..quick() }).await;
    let answer = world.get("EIO=4&transport=polling").await;
    assert!(answer.text().contains(r#""upgrades":[]"#));
    let mut socket = world.socket(&over_websocket(&world.polling(Eio::V4).await)).await.expect("accepted");
    assert!(socket.until_closed().await.is_empty());
}

#[test]
fn settings_that_cannot_be_served_are_refused() {
    let check = |settings: Settings| assert!(settings.check().is_err(), "{settings:?}");
    check(Settings { path: "socket.io".into(), ..quick() });
    check(Settings { path: "/v1/io/".into(), ..quick() });
    check(Settings { path: "/{x}/".into(), ..quick() });
    check(Settings { ping_timeout: std::time::Duration::ZERO, ..quick() });
    check(Settings { max_payload: 1, ..quick() });
    check(Settings { polling: false, websocket: false, ..quick() });
    check(Settings { cookie: Some(Cookie { name: "a=b".into(), ..Cookie::default() }), ..quick() });
}
