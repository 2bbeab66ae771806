//! `docs/protocol/vectors.json`: what the TypeScript client reads and writes, the server writes and reads.

use std::path::Path;

use rowcast::protocol::{ClientMessage, ServerMessage};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/vectors.json");
    let text = std::fs::read_to_string(path).expect("the vectors");
    serde_json::from_str(&text).expect("an array of vectors")
}

fn of<'a>(vectors: &'a [Value], direction: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
    let vectors = vectors.iter().filter(move |vector| vector["direction"] == direction);
    vectors.map(|vector| (vector["name"].as_str().expect("a name"), vector))
}

#[test]
fn server_messages_are_written_as_in_the_vectors() {
    let vectors = vectors();
    let mut kinds = std::collections::BTreeSet::new();
    for (name, vector) in of(&vectors, "server") {
        let message: ServerMessage =
            serde_json::from_value(vector["message"].clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&message).expect("JSON"), vector["message"], "{name}");
        kinds.insert(message.kind());
    }
    assert_eq!(kinds.len(), 22, "an example of every message: {kinds:?}");
}

#[test]
fn client_messages_are_read_as_in_the_vectors() {
    let vectors = vectors();
    let valid = of(&vectors, "client").filter(|(_, vector)| vector["invalid"] != true);
    for (name, vector) in valid {
        let text = vector["message"].to_string();
        ClientMessage::parse(&text).unwrap_or_else(|problem| panic!("{name}: {problem:?}"));
    }
}

#[test]
fn wrong_client_messages_are_refused_with_the_code_of_the_vectors() {
    let vectors = vectors();
    let invalid = of(&vectors, "client").filter(|(_, vector)| vector["invalid"] == true);
    let mut count = 0;
    for (name, vector) in invalid {
        let text = vector["text"].as_str().expect("a text");
        let Err(problem) = ClientMessage::parse(text) else { panic!("{name} was taken: {text}") };
        assert_eq!(serde_json::to_value(problem.code).expect("a code"), vector["code"], "{name}: {problem:?}");
        count += 1;
    }
    assert!(count > 5);
}
