use std::path::Path;

use rowcast::gateway::Door;
use rowcast::ingest::Format;
use rowcast::ingest::pull::{EngineIo, Feed, HttpFeed, Part, Payload, Qos};

use super::*;

pub(super) fn layers(file: &str, environment: &[(&str, &str)], flags: Flags) -> Layers {
    let mut layers = Layers::defaults();
    layers.text(&"rowcast.toml".into(), file);
    layers.environment(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    layers.flags(flags);
    layers
}

pub(super) fn config(file: &str) -> Config {
    Config::read(&layers(file, &[], vec![])).expect("no mistakes")
}

#[track_caller]
pub(super) fn mistakes(file: &str, expected: &[&str]) {
    let mistakes = Config::read(&layers(file, &[], vec![])).expect_err(file);
    assert_eq!(mistakes.0.iter().map(ToString::to_string).collect::<Vec<_>>(), expected);
}

#[test]
fn the_defaults_are_without_mistakes() {
    let config = config("");
    assert_eq!(config.listen[0].to_string(), "127.0.0.1:3000");
    assert_eq!((config.limits.frame_bytes, config.limits.connections), (1 << 20, 20_000));
    assert_eq!(config.log.keep_age, Some(Duration::from_secs(86_400)));
    assert_eq!(config.log.keep_events, None);
    assert!(config.database.url.is_none() && config.ingest.is_empty());
}

#[test]
fn each_port_may_have_a_section_of_its_own() {
    let file = "[[listen]]\naddress = 'h:9000'\nname = 'chat'\ndoors = ['socketio']\nbacklog = 16\n[[listen]]\naddress = 'h:1'\n";
    let [chat, other] = &config(file).listen[..] else { panic!("two ports") };
    let said = (chat.to_string(), chat.name.as_deref(), &chat.doors[..], chat.backlog);
    assert_eq!(said, ("h:9000".to_owned(), Some("chat"), &[Offer::Door(Door::SocketIo)][..], 16));
    assert_eq!((other.to_string(), other.name.as_deref(), other.doors.len()), ("h:1".to_owned(), None, 7));
    let mixed = config("listen = ['a:1', { address = 'b:2', name = 'b' }]").listen;
    assert_eq!(
        mixed.iter().map(|one| (one.to_string(), one.name.is_some())).collect::<Vec<_>>(),
        [("a:1".to_owned(), false), ("b:2".to_owned(), true)]
    );
    let flags = vec![("--listen", "listen", vec!["c:3".into()])];
    let config = Config::read(&layers(file, &[], flags)).expect("no mistakes");
    assert_eq!(config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["c:3"]);
    let environment = [("ROWCAST__LISTEN", "[{ address = 'd:4', doors = ['native'] }]")];
    let config = Config::read(&layers(file, &environment, vec![])).expect("no mistakes");
    assert_eq!(config.listen[0].doors, [Offer::Door(Door::Native)]);
}

#[test]
fn a_port_s_section_tells_its_mistakes() {
    mistakes(
        "[[listen]]\nadress = 'h:1'\nname = 'a b'\ndoors = ['socket']\nbacklog = 0\n[[listen]]\naddress = '9000'\n",
        &[
            "rowcast.toml:1: listen[0].adress: there is no such key; did you mean address?",
            "rowcast.toml:1: listen[0].address: this key is missing; write for example address = \"0.0.0.0:9000\"",
            "rowcast.toml:1: listen[0].name: \"a b\" is not a name; write 1 to 64 letters, digits, dots, dashes and underscores",
            "rowcast.toml:1: listen[0].doors: \"socket\" is no door; there are \"native\", \"socketio\", \"drop_ins\", \"influx\", \"pages\", \"files\", \"metrics\"",
            "rowcast.toml:1: listen[0].backlog: expected a number, 1 to 1000000, got 0",
            "rowcast.toml:1: listen[1].address: \"9000\" is a port without an address; write \"127.0.0.1:9000\", or \"0.0.0.0:9000\" for every interface",
        ],
    );
}

#[test]
fn the_example_in_the_defaults_is_without_mistakes() {
    let example: String = DEFAULT
        .lines()
        .skip_while(|line| *line != "# [[ingest]]")
        .map(|line| format!("{}\n", line.trim_start_matches("# ").trim_start_matches("# ")))
        .filter(|line| line.contains('[') || line.contains('='))
        .collect();
    let ingest = &config(&example).ingest[0];
    let feed = http(ingest);
    assert_eq!((ingest.name.as_str(), feed.format, feed.idle_timeout.as_secs()), ("simulator", Format::Auto, 60));
}

fn http(ingest: &Ingest) -> HttpFeed {
    match ingest.feed.to_feed() {
        Feed::Http(feed) => feed,
        other => panic!("{other:?}"),
    }
}

fn feed(lines: &str) -> Feed {
    config(&format!("[[ingest]]\nname = \"a\"\ntable = \"t\"\n{lines}")).ingest[0].feed.to_feed()
}

#[test]
fn the_scheme_says_what_is_spoken() {
    let Feed::Poll(poll) = feed("url = 'https://h/x'\nevery = '30s'\nitems = '/data'\nheaders = { x-key = 'k' }\n")
    else {
        panic!("polled");
    };
    assert_eq!((poll.every.as_secs(), poll.items.as_deref()), (30, Some("/data")));
    let Feed::WebSocket(websocket) = feed("url = 'wss://h/x'\nsend = ['hunter2']\nsubprotocols = ['v1']\n") else {
        panic!("a WebSocket");
    };
    assert_eq!((websocket.protocols.len(), format!("{:?}", websocket.send)), (1, "[***]".into()));
    let lines = "url = 'socketio+http://h:1/live'\nauth = { token = 'hunter2', n = 1 }\nevents = ['newData']\n";
    let Feed::SocketIo(socketio) = feed(lines) else { panic!("Socket.IO") };
    assert_eq!((socketio.url.as_str(), socketio.protocol), ("http://h:1/live", EngineIo::V4));
    let lines = "url = 'mqtts://h'\ntopics = ['s/#']\nformat = 'value'\nqos = 2\nmqtt = '5'\nfields = { sensor = 'topic[1]' }\n";
    let Feed::Mqtt(mqtt) = feed(lines) else { panic!("MQTT") };
    assert_eq!(
        (mqtt.payload, mqtt.qos, mqtt.fields),
        (Payload::Value, Qos::ExactlyOnce, vec![("sensor".into(), Part::Level(1))])
    );
}

#[test]
fn keys_of_another_kind_of_source_are_mistakes() {
    let entry = |lines: &str| format!("[[ingest]]\nname = \"a\"\ntable = \"t\"\n{lines}");
    mistakes(
        &entry("url = \"ws://h\"\ntopics = [\"a\"]\nsend = \"x\"\n"),
        &[
            "rowcast.toml:5: ingest[0].topics: this key does not go with a WebSocket; it takes format, idle_timeout, headers, ca, send, subprotocols",
            "rowcast.toml:6: ingest[0].send: expected a list of texts; write [\"…\", \"…\"]",
        ],
    );
    mistakes(
        &entry("url = \"mqtt://h\"\nqos = 3\nfields = { a = \"b\" }\n"),
        &[
            "rowcast.toml:2: ingest[0].topics: there are no topics; write for example topics = [\"sensors/#\"]",
            "rowcast.toml:5: ingest[0].qos: expected a number, 0 to 2, got 3",
            "rowcast.toml:6: ingest[0].fields: \"b\" is no part of a message; write \"topic\", \"topic[1]\" (the second level) or \"payload\"",
        ],
    );
}

#[test]
fn later_layers_win() {
    let file = "listen = ['h:1']\n[limits]\nframe_bytes = 2048\nsubscriptions = 7\nqueue_bytes = '8KiB'\n";
    let environment = [
        ("ROWCAST__LIMITS__SUBSCRIPTIONS", "8"),
        ("ROWCAST__LIMITS__FRAME_BYTES", "4KiB"),
        ("ROWCAST__HTTP__PAGES", "false"),
        ("OTHER", "x"),
    ];
    let flags = vec![("--listen", "listen", vec!["a:1".into(), "b:2".into()])];
    let config = Config::read(&layers(file, &environment, flags)).expect("no mistakes");
    assert_eq!(config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
    assert_eq!((config.limits.frame_bytes, config.limits.subscriptions, config.limits.queue_bytes), (4096, 8, 8192));
    assert!(!config.http.pages);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line_and_its_fix() {
    mistakes(
        "listen = \"3000\"\n\n[limits]\nframe_bites = 1\nframe_bytes = \"1 Mb/s\"\nsubscriptions = \"100\"\nheartbeat = 15\n[limit]\nx = 1\n[http]\norigins = [\"example.com\"]\n",
        &[
            "rowcast.toml:1: listen: \"3000\" is a port without an address; write \"127.0.0.1:3000\", or \"0.0.0.0:3000\" for every interface",
            "rowcast.toml:4: limits.frame_bites: there is no such key; did you mean limits.frame_bytes?",
            "rowcast.toml:5: limits.frame_bytes: expected a size, got \"1 Mb/s\"; write for example \"64KiB\", \"1MiB\" or 65536",
            "rowcast.toml:6: limits.subscriptions: expected a number, 1 to 100000, got \"100\"",
            "rowcast.toml:7: limits.heartbeat: expected a duration, got \"15\"; write for example \"250ms\", \"30s\", \"5m\" or \"24h\"",
            "rowcast.toml:8: limit: there is no such section; did you mean limits?",
            "rowcast.toml:11: http.origins: \"example.com\" is not an origin; write \"same-host\", \"*\", or scheme and host without a path: \"https://app.example.com\"",
        ],
    );
}

#[test]
fn a_key_in_the_wrong_section_is_found() {
    mistakes(
        "frame_bytes = 1\n",
        &["rowcast.toml:1: frame_bytes: there is no such key; did you mean limits.frame_bytes?"],
    );
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let mistakes = Config::read(&layers("listen = []\nx = = 1\n", &[], vec![])).expect_err("no TOML");
    assert!(mistakes.0[0].to_string().starts_with("rowcast.toml:2: this is not TOML: "), "{mistakes}");
}

#[test]
fn sections_and_values_are_told_apart() {
    mistakes(
        "limits = 5\n[listen]\nx = 1\n",
        &[
            "rowcast.toml:1: limits: this is a section, not a value; write [limits]",
            "rowcast.toml:2: listen: this is a value, not a section; write listen = …",
        ],
    );
}

#[test]
fn variables_are_named_in_full() {
    let environment = [("ROWCAST__LIMITS__FRAME_BYTE", "1"), ("ROWCAST__LIMITS__HEARTBEAT", "soon")];
    let mistakes = Config::read(&layers("", &environment, vec![])).expect_err("mistakes");
    assert_eq!(
        mistakes.to_string(),
        "the configuration has 2 mistakes:\n  environment ROWCAST__LIMITS__FRAME_BYTE: limits.frame_byte: there is no such key; did you mean limits.frame_bytes?\n  environment ROWCAST__LIMITS__HEARTBEAT: limits.heartbeat: expected a duration, got \"soon\"; write for example \"250ms\", \"30s\", \"5m\" or \"24h\""
    );
}

#[test]
fn an_ingest_needs_a_name_a_url_and_a_table() {
    mistakes(
        "[[ingest]]\nname = \"a\"\nurl = \"ftp://x\"\ntabel = \"t\"\n[[ingest]]\nname = \"b c\"\nurl = 5\ntable = \"\"\nformat = \"xml\"\nidle_timeout = \"x\"\n",
        &[
            "rowcast.toml:2: ingest[0].table: this key is missing; every [[ingest]] has name, url and table",
            "rowcast.toml:3: ingest[0].url: \"ftp\" is no scheme of a source; the scheme is http, https, ws, wss, mqtt, mqtts, socketio+http or socketio+https: write for example \"http://localhost:4000/stream\"",
            "rowcast.toml:4: ingest[0].tabel: there is no such key; did you mean table?",
            "rowcast.toml:6: ingest[1].name: \"b c\" is not a name; write 1 to 64 letters, digits, dots, dashes and underscores",
            "rowcast.toml:7: ingest[1].url: expected text, got 5",
            "rowcast.toml:8: ingest[1].table: a channel's name has 1 to 256 bytes and no control characters",
            "rowcast.toml:9: ingest[1].format: `xml` is not a format; write auto, ndjson, json, csv, sse, copy or line",
            "rowcast.toml:10: ingest[1].idle_timeout: expected a duration, got \"x\"; write for example \"250ms\", \"30s\", \"5m\" or \"24h\"",
        ],
    );
}

#[test]
fn two_ingests_have_two_names() {
    let one = "[[ingest]]\nname = \"a\"\nurl = \"http://x\"\ntable = \"t\"\n";
    mistakes(
        &format!("{one}{one}"),
        &["rowcast.toml:6: ingest[1].name: there is another ingest called \"a\"; give each its own name"],
    );
}

#[test]
fn an_ingest_can_come_from_the_environment() {
    let list = r#"[{ name = "a", url = "http://x/y", table = "t", format = "sse" }]"#;
    let config = Config::read(&layers("", &[("ROWCAST__INGEST", list)], vec![])).expect("no mistakes");
    assert_eq!(http(&config.ingest[0]).format, Format::Sse);
    let mistakes = Config::read(&layers("", &[("ROWCAST__INGEST", "a=b")], vec![])).expect_err("no TOML");
    assert!(mistakes.to_string().contains("environment ROWCAST__INGEST: ingest: this is not TOML"), "{mistakes}");
}

#[test]
fn a_database_must_be_there() {
    mistakes(
        "[database]\nurl = \"sqlite:no/such/file.db\"\n",
        &[
            "rowcast.toml:2: database.url: there is no file no/such/file.db; check the path, or set database.create = true to make an empty one",
        ],
    );
    mistakes(
        "[database]\ncreate = true\nurl = \"no/such/file.db\"\n",
        &["rowcast.toml:3: database.url: there is no folder no/such; make it first"],
    );
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let mut layers = Layers::defaults();
    layers.file(Path::new("no/such/rowcast.toml"));
    let mistakes = Config::read(&layers).expect_err("no file");
    assert!(mistakes.to_string().contains("--config: no/such/rowcast.toml cannot be read"), "{mistakes}");
}

#[test]
fn what_is_printed_means_the_same_when_it_is_read() {
    let file = "listen = [\n  \"h:1\", # comment\n]\n[limits]\nframe_bytes = \"2KiB\"\n[[ingest]]\nname = \"a\"\nurl = \"http://x/y\"\ntable = \"t\"\n";
    let printed = layers(file, &[("ROWCAST__LIMITS__SUBSCRIPTIONS", "8")], vec![]).print();
    assert!(printed.contains("frame_bytes = \"2KiB\"  # rowcast.toml:5\n"), "{printed}");
    assert!(printed.contains("  # environment ROWCAST__LIMITS__SUBSCRIPTIONS\n"), "{printed}");
    let again = config(&printed);
    assert_eq!(http(&again.ingest[0]).url.as_str(), "http://x/y");
    assert_eq!((again.limits.frame_bytes, again.limits.subscriptions), (2048, 8));
}

#[test]
fn passwords_are_not_printed() {
    let file = "[drop_ins]\npostgres_websockets_secret = \"hunter2\"\n[[ingest]]\nname = \"a\"\nurl = \"http://me:hunter2@x/y\"\ntable = \"t\"\n";
    let printed = layers(file, &[], vec![]).print();
    assert!(!printed.contains("hunter2") && printed.contains("http://me:***@x/y"), "{printed}");
    let file = "[[ingest]]\nname = \"a\"\nurl = \"ws://x/y\"\ntable = \"t\"\nsend = [\"hunter2\", \"${TOKEN}\"]\nheaders = { a = \"hunter2\" }\nauth = { t = { u = \"hunter2\" } }\npassword = \"hunter2\"\n";
    let printed = layers(file, &[], vec![]).print();
    assert!(!printed.contains("hunter2") && printed.contains("send = [\"***\", \"${TOKEN}\"]"), "{printed}");
}

#[test]
fn influx_doors_have_their_tables() {
    let influx = config("[influx]\ntables = { cpu = \"cpu_load\" }\ntime_unit = \"s\"\n").influx.expect("open");
    assert_eq!((influx.tables["cpu"].as_str(), influx.time.as_str()), ("cpu_load", "time"));
    assert_eq!(config("[influx]\nenabled = false\n").influx, None);
}

#[test]
fn a_tenant_with_limits_of_its_own_has_the_others_besides() {
    let file = "[limits.tenant]\nconnections = 5\nmessages_per_second = 10\n[limits.tenants.acme]\nconnections = 50\n\
                bytes_per_second = '1MiB'\nbytes_burst = '4MiB'\n[http]\ntrusted_proxies = ['10.0.0.0/8', '::1']\n";
    let config = config(file);
    let Allowances { tenant, user, tenants, .. } = &config.allowances;
    assert!(!user.limits() && !config.http.trusted_proxies.is_empty());
    let rate = |rate: Option<rowcast::gateway::Rate>| rate.map(|rate| (rate.per_second, rate.burst));
    assert_eq!((tenant.connections, rate(tenant.messages), rate(tenant.bytes)), (Some(5), Some((10.0, 20.0)), None));
    let acme = &tenants["acme"];
    assert_eq!((acme.connections, rate(acme.messages)), (Some(50), Some((10.0, 20.0))));
    assert_eq!(rate(acme.bytes), Some((1_048_576.0, 4_194_304.0)));
}

#[test]
fn mistakes_in_limits_are_told() {
    mistakes(
        "[limits.user]\nconnections = -1\n[limits.tenants.acme]\nconections = 5\nrows_burst = 'x'\n[http]\ntrusted_proxies = ['proxy']\n",
        &[
            "rowcast.toml:2: limits.user.connections: expected a number, 0 to 1099511627776, got -1",
            "rowcast.toml:3: limits.tenants.acme.conections: there is no such key; did you mean connections?",
            "rowcast.toml:3: limits.tenants.acme.rows_burst: expected a number, got \"x\"; 0: no limit",
            "rowcast.toml:7: http.trusted_proxies: \"proxy\" is neither an address nor a network; write for example \"10.0.0.0/8\" or \"2001:db8::1\"",
        ],
    );
}
