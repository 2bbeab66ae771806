//! The stream to an MQTT broker, each record a message that the broker acknowledges.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use anyhow::bail;
use reqwest::Url;
use rumqttc::{AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS, Transport};
use tokio::sync::mpsc;

use super::Supply;

/// Messages without an answer, at most.
const UNANSWERED: usize = 100;
/// The largest message.
const MESSAGE_BYTES: usize = 16 << 20;
/// Between two connections.
const PAUSE: Duration = Duration::from_millis(500);

/// A broker, and the topic there.
#[derive(Debug, Clone)]
pub(crate) struct Broker {
    options: MqttOptions,
    /// `{sensor}` in it becomes the sensor's name.
    topic: String,
    pub(super) shown: String,
}

impl Broker {
    /// Reads `mqtt://user:password@host:1883/a/topic`, or `mqtts://`.
    pub(super) fn parse(url: &Url) -> anyhow::Result<Self> {
        let host = url.host_str().unwrap_or_default();
        let topic = percent_decoded(url.path().trim_start_matches('/'));
        let is_tls = match url.scheme() {
            "mqtt" => false,
            "mqtts" => true,
            other => bail!("{other:?} is not MQTT; write mqtt://host:1883/topic"),
        };
        if host.is_empty() || topic.is_empty() || topic.contains(['+', '#']) {
            bail!("write mqtt://host:1883/topic, where the topic has no wildcards");
        }
        let port = url.port().unwrap_or(if is_tls { 8883 } else { 1883 });
        let mut options = MqttOptions::new(format!("rowcast-simulate-{:016x}", rand::random::<u64>()), host, port);
        options.set_keep_alive(Duration::from_secs(30)).set_inflight(UNANSWERED as u16);
        options.set_max_packet_size(MESSAGE_BYTES, MESSAGE_BYTES);
        if is_tls {
            options.set_transport(Transport::tls_with_default_config());
        }
        if !url.username().is_empty() {
            options
                .set_credentials(percent_decoded(url.username()), percent_decoded(url.password().unwrap_or_default()));
        }
        Ok(Self { options, topic, shown: format!("{}://{host}:{port}", url.scheme()) })
    }

    fn topic(&self, sensor: &str) -> String {
        self.topic.replace("{sensor}", sensor)
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let decoded = match (first, tail) {
            (b'%', [a, b, ..]) => std::str::from_utf8(&[*a, *b]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok()),
            _ => None,
        };
        bytes.push(decoded.unwrap_or(*first));
        rest = if decoded.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What the broker has not acknowledged. It is sent again over another connection, so that it comes at least once.
#[derive(Debug, Default)]
struct Unanswered {
    all: BTreeSet<u64>,
    /// Handed to the client, in order, and without a number there.
    handed: VecDeque<u64>,
    /// By the client's number.
    sent: HashMap<u16, u64>,
}

/// Publishes records as they become due, until all are acknowledged.
pub(super) async fn run(mut supply: Supply, broker: Broker) -> anyhow::Result<()> {
    let mut unanswered = Unanswered::default();
    let mut told = None;
    loop {
        let (client, events) = AsyncClient::new(broker.options.clone(), UNANSWERED);
        match connection(&mut supply, &broker, client, events, &mut unanswered).await {
            None => break,
            Some(problem) => {
                if told.as_ref() != Some(&problem) {
                    eprintln!("{}: {problem}; trying again", broker.shown);
                    told = Some(problem);
                }
            }
        }
        if supply.stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            break;
        }
    }
    if !unanswered.all.is_empty() {
        eprintln!("{} messages were not acknowledged by the broker", unanswered.all.len());
    }
    Ok(())
}

/// One connection. `None`: everything has been sent and acknowledged, or it was stopped; else what ended it.
async fn connection(
    supply: &mut Supply,
    broker: &Broker,
    client: AsyncClient,
    events: EventLoop,
    unanswered: &mut Unanswered,
) -> Option<String> {
    // Waiting for an event must not be given up half-way: it has a task of its own.
    let (heard, mut hears) = mpsc::channel(UNANSWERED * 4);
    let polling = tokio::spawn(poll(events, heard));
    unanswered.handed.clear();
    unanswered.sent.clear();
    let again: Vec<u64> = unanswered.all.iter().copied().collect();
    for n in again {
        publish(supply, broker, &client, n, unanswered).await;
    }
    let mut ended = false;
    let outcome = loop {
        if ended && unanswered.all.is_empty() {
            break None;
        }
        let room = UNANSWERED.saturating_sub(unanswered.all.len());
        tokio::select! {
            event = hears.recv() => match event {
                Some(Ok(Event::Outgoing(Outgoing::Publish(id)))) => {
                    if let Some(n) = unanswered.handed.pop_front() {
                        unanswered.sent.insert(id, n);
                    }
                }
                Some(Ok(Event::Incoming(Packet::PubAck(ack)))) => {
                    if let Some(n) = unanswered.sent.remove(&ack.pkid) {
                        unanswered.all.remove(&n);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => break Some(error.to_string()),
                None => break Some("the connection ended".into()),
            },
            due = supply.next(room as u64), if room > 0 && !ended => match due {
                None => ended = true,
                Some(due) => for n in due {
                    unanswered.all.insert(n);
                    supply.tally.emitted(&[(n, supply.records.spoiled(n))]);
                    publish(supply, broker, &client, n, unanswered).await;
                }
            },
            // What is on its way may still arrive; nobody is made to wait for it for long.
            () = tokio::time::sleep(Duration::from_secs(5)), if supply.stop.is_cancelled() => break None,
        }
    };
    let _ = client.disconnect().await;
    let _ = tokio::time::timeout(Duration::from_secs(1), polling).await;
    outcome
}

/// Where the connection has ended meanwhile, it stays unanswered.
async fn publish(supply: &Supply, broker: &Broker, client: &AsyncClient, n: u64, unanswered: &mut Unanswered) {
    let mut message = Vec::new();
    supply.records.line(n, supply.pace.time_ms(n), &mut message);
    unanswered.handed.push_back(n);
    let topic = broker.topic(&supply.records.sensor(n));
    // Its events tell why it has ended.
    let _ = client.publish(topic, QoS::AtLeastOnce, false, message).await;
}

async fn poll(mut events: EventLoop, heard: mpsc::Sender<Result<Event, ConnectionError>>) {
    loop {
        let event = events.poll().await;
        let is_over = event.is_err();
        if heard.send(event).await.is_err() || is_over {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_broker_and_topic() {
        let broker = |url: &str| Broker::parse(&url.parse().expect(url));
        let read = broker("mqtt://a%40b:p%3Aw@host/plant/1/{sensor}").expect("it is one");
        assert_eq!(read.options.broker_address(), ("host".into(), 1883));
        assert_eq!((read.topic("s2"), read.shown.as_str()), ("plant/1/s2".into(), "mqtt://host:1883"));
        let login = read.options.credentials().expect("a login");
        assert_eq!((login.username.as_str(), login.password.as_str()), ("a@b", "p:w"));
        for wrong in ["mqtt://host", "http://host/a", "mqtt://host/a/+/b"] {
            assert!(broker(wrong).is_err(), "{wrong}");
        }
    }
}
