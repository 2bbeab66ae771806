//! Mail: written for its reader alone.

use rowcast_chat::Smtp;
use serde_json::json;

use crate::browser::{Browser, PASSWORD};
use crate::postbox::Postbox;
use crate::world::{KINDS, World};

#[tokio::test]
async fn a_mail_says_the_code_and_nothing_that_a_stranger_has_chosen() {
    let mut postbox = Postbox::open().await;
    let world = World::start(KINDS[0], postbox.settings()).await;
    let mut browser = Browser::new(&world);
    let name = "https://evil.example is where you win";
    browser.post("/signup", json!({ "email": "ann@example.com", "password": PASSWORD, "name": name })).await;
    let letter = postbox.letter().await;
    assert_eq!(letter.to, "ann@example.com");
    assert!(letter.text.contains("From: ") && letter.text.contains("chat@example.com"), "{}", letter.text);
    assert!(letter.text.contains("Your code is ") && !letter.text.contains("evil.example"), "{}", letter.text);
}

#[test]
fn what_is_no_mail_server_is_said_before_anything_is_sent() {
    let smtp = |url: &str, from: &str| Smtp { url: url.into(), from: from.into(), ca: None }.check();
    smtp("smtps://user:password@mail.example.com", "Chat <chat@example.com>").expect("TLS from the beginning");
    smtp("smtp://mail.example.com:587?tls=required", "chat@example.com").expect("STARTTLS");
    for (url, from) in [("mail.example.com", "chat@example.com"), ("smtp://mail.example.com", "nobody")] {
        let problem = smtp(url, from).expect_err(url).to_string();
        assert!(!problem.contains("password"), "{problem}");
    }
    let shown = format!("{:?}", Smtp { url: "smtp://user:hidden@h".into(), from: "a@b".into(), ca: None });
    assert!(!shown.contains("hidden"), "{shown}");
}
