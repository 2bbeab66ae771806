//! Topics of a real broker, published by another client library.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rowcast::ingest::pull::{Feed, MqttFeed, MqttVersion, Part, Payload, Pulling, Qos};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use servers::Mosquitto;

use super::{connected, pull, trouble};
use crate::pg_tls::Authority;
use crate::scratch::Scratch;

fn feed(broker: &Mosquitto, topic: &str) -> MqttFeed {
    let url = format!("mqtt://127.0.0.1:{}", broker.port()).parse().expect("a URL");
    MqttFeed::new(url, vec![topic.into()])
}

/// Waits until the broker has acknowledged all of them.
async fn publish(broker: &Mosquitto, messages: impl IntoIterator<Item = (String, Vec<u8>)>) {
    let mut options = MqttOptions::new(format!("writer-{:x}", rand::random::<u64>()), "127.0.0.1", broker.port());
    options.set_inflight(100);
    let (client, mut events) = AsyncClient::new(options, 100);
    let messages: Vec<_> = messages.into_iter().collect();
    let mut left = messages.len();
    let writing = tokio::spawn(async move {
        for (topic, payload) in messages {
            client.publish(topic, QoS::AtLeastOnce, false, payload).await.expect("the loop takes it");
        }
        client
    });
    while left > 0 {
        if let Event::Incoming(Packet::PubAck(_)) = events.poll().await.expect("the broker is there") {
            left -= 1;
        }
    }
    writing.await.expect("written").disconnect().await.expect("the loop takes it");
    while events.poll().await.is_ok() {}
}

fn speed(number: u32) -> (String, Vec<u8>) {
    ("s/car".into(), format!("{{\"speed\":{number}}}").into_bytes())
}

/// Exactly these, in any order.
fn assert_speeds(scratch: &Scratch, expected: impl Iterator<Item = u32>) {
    let found = scratch.column("speed");
    let distinct: BTreeSet<u32> = found.iter().map(|speed| speed.parse().expect("a number")).collect();
    assert_eq!(distinct, expected.collect());
    assert_eq!(found.len(), distinct.len(), "one came twice");
}

async fn started(scratch: &Arc<Scratch>, feed: MqttFeed) -> Pulling {
    let pulling = pull(scratch, Feed::Mqtt(feed));
    connected(&pulling).await;
    pulling
}

#[tokio::test]
async fn payloads_and_topic_levels_become_fields_in_both_versions() {
    for version in [MqttVersion::V311, MqttVersion::V5] {
        let broker = Mosquitto::start().expect("a broker");
        let scratch = Scratch::new().await;
        let fields = vec![("name".to_owned(), Part::Level(1))];
        let pulling = started(&scratch, MqttFeed { version, fields, ..feed(&broker, "s/+/speed") }).await;
        let messages = [
            ("s/car/speed", "{\"speed\":\"37\",\"unit\":\"km/h\"}"),
            ("s/bus/speed", "[{\"speed\":1},{\"speed\":2}]"),
            ("s/van/speed", "fast"),
            ("s/van/height", "{\"speed\":99}"),
            ("s/van/speed", "{\"speed\":3}"),
        ];
        publish(&broker, messages.map(|(topic, payload)| (topic.to_owned(), payload.into()))).await;
        scratch.holds(4).await;
        let status = pulling.stop().await;
        assert_eq!(scratch.column("speed"), ["37", "1", "2", "3"]);
        assert_eq!(scratch.column("name"), ["car", "bus", "bus", "van"]);
        assert_eq!((status.rejected, status.rejects[0].raw.as_str(), status.kind), (1, "fast", "mqtt"));
        assert!(status.url.ends_with(" s/+/speed"), "{}", status.url);
    }
}

#[tokio::test]
async fn plain_values_are_records_of_one_field() {
    let broker = Mosquitto::start().expect("a broker");
    let scratch = Scratch::new().await;
    let fields = vec![("speed".to_owned(), Part::Payload), ("name".to_owned(), Part::Topic)];
    let pulling = started(&scratch, MqttFeed { payload: Payload::Value, fields, ..feed(&broker, "#") }).await;
    publish(&broker, ["37", "x", "38"].map(|payload| ("a/b".to_owned(), payload.into()))).await;
    scratch.holds(2).await;
    let status = pulling.stop().await;
    assert_eq!((scratch.column("speed"), scratch.column("name")[0].as_str()), (vec!["37".into(), "38".into()], "a/b"));
    assert_eq!(status.rejects[0].reason, "speed: expected an integer, got \"x\"");
}

#[tokio::test]
async fn the_broker_keeps_what_comes_while_we_are_away() {
    for (version, qos) in [(MqttVersion::V311, Qos::AtLeastOnce), (MqttVersion::V5, Qos::ExactlyOnce)] {
        let mut broker = Mosquitto::start().expect("a broker");
        let scratch = Scratch::new().await;
        let feed = MqttFeed { version, qos, ..feed(&broker, "s/#") };
        started(&scratch, feed.clone()).await.stop().await;
        publish(&broker, (0..5).map(speed)).await;
        let pulling = started(&scratch, feed.clone()).await;
        scratch.holds(5).await;

        // A broker that goes and comes back is found, and what it has still, too.
        broker.stop().expect("stopped");
        trouble(&pulling, "").await;
        broker.start_again().expect("started");
        connected(&pulling).await;
        publish(&broker, (5..10).map(speed)).await;
        scratch.holds(10).await;
        pulling.stop().await;
        assert_speeds(&scratch, 0..10);
    }
}

#[tokio::test]
async fn ten_thousand_messages_are_stored_once_each() {
    let broker = Mosquitto::start().expect("a broker");
    let scratch = Scratch::new().await;
    let pulling = started(&scratch, feed(&broker, "s/#")).await;
    publish(&broker, (0..10_000).map(speed)).await;
    scratch.holds(10_000).await;
    pulling.stop().await;
    assert_speeds(&scratch, 0..10_000);
}

#[tokio::test]
async fn a_broker_that_refuses_is_heard() {
    let broker = Mosquitto::start_with("allow_anonymous false\npassword_file {folder}/users", &[("users", "")])
        .expect("a broker");
    let scratch = Scratch::new().await;
    for (version, word) in [(MqttVersion::V311, "connect"), (MqttVersion::V5, "connect")] {
        let pulling = pull(&scratch, Feed::Mqtt(MqttFeed { version, ..feed(&broker, "#") }));
        let error = trouble(&pulling, "the broker does not allow this client").await;
        assert!(error.contains(word), "{error}");
        pulling.stop().await;
    }
}

#[tokio::test]
async fn a_silent_broker_is_given_up() {
    let broker = Mosquitto::start().expect("a broker");
    let cable = servers::Cable::to(broker.port()).await.expect("a cable");
    let scratch = Scratch::new().await;
    let url = format!("mqtt://127.0.0.1:{}", cable.port()).parse().expect("a URL");
    let feed = MqttFeed { url, keep_alive: Duration::from_secs(1), ..feed(&broker, "s/#") };
    let pulling = started(&scratch, feed).await;
    cable.silence();
    publish(&broker, [speed(1)]).await;
    trouble(&pulling, "silent for 1.5s").await;
    cable.mend();
    scratch.holds(1).await;
    pulling.stop().await;
    assert_speeds(&scratch, 1..2);
}

#[tokio::test]
async fn tls_is_spoken_with_a_broker_whose_authority_is_trusted() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let authority = Authority::new("authority");
    let (certificate, key) = authority.signs("broker", &["localhost"]);
    let lines = "allow_anonymous true\ncertfile {folder}/broker.crt\nkeyfile {folder}/broker.key";
    let broker = Mosquitto::start_with(lines, &[("broker.crt", &certificate), ("broker.key", &key)]).expect("a broker");
    let scratch = Scratch::new().await;
    let url = |host: &str| format!("mqtts://{host}:{}", broker.port()).parse().expect("a URL");
    let trusting = |ca: &str, host: &str| MqttFeed {
        ca: Some(ca.as_bytes().into()),
        ..MqttFeed::new(url(host), vec!["s/#".into()])
    };
    started(&scratch, trusting(&authority.pem, "localhost")).await.stop().await;
    // Another's signature, and another's name.
    for feed in [trusting(&Authority::new("another").pem, "localhost"), trusting(&authority.pem, "127.0.0.1")] {
        let pulling = pull(&scratch, Feed::Mqtt(feed));
        trouble(&pulling, "no TLS with the broker: ").await;
        pulling.stop().await;
    }
}
