//! NOTIFY as a source: what is heard, in which order, and what is said when it was not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rowcast::event::{Body, Change, Channel, Event, Position, ResetCause};
use rowcast::log::memory::MemoryLog;
use rowcast::log::{Log, Retention};
use rowcast::postgres::{Address, NotifySettings};
use rowcast::source::notify::{Ears, NotHeard, NotifySource};
use rowcast::source::{Source, SourceStatus};
use servers::{Cable, Database, PgBouncer, Postgres, Stop};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A source that is pumped into a log as the gateway does it.
struct Hearing {
    ears: Arc<Ears>,
    log: Arc<MemoryLog>,
    cursor: Position,
    status: watch::Receiver<SourceStatus>,
    pump: AbortHandle,
}

impl Drop for Hearing {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

struct Wish<'a> {
    channels: &'a [&'a str],
    allow: &'a [&'a str],
    probe_every: Duration,
    dead_after: Duration,
}

const QUICK: Wish<'static> = Wish {
    channels: &["news"],
    allow: &["room_*"],
    probe_every: Duration::from_millis(500),
    dead_after: Duration::from_millis(1500),
};

impl Hearing {
    async fn of(url: &str) -> Self {
        Self::with(url, QUICK).await
    }

    async fn with(url: &str, wish: Wish<'_>) -> Self {
        let log = Arc::new(MemoryLog::new(Retention::default()));
        Self::into(log, url, wish).await
    }

    async fn into(log: Arc<MemoryLog>, url: &str, wish: Wish<'_>) -> Self {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let address: Address = url.parse().expect("an address");
        let settings =
            NotifySettings { channels: own(wish.channels), allow: own(wish.allow), probe_every: wish.probe_every };
        let (mut source, ears) = NotifySource::new("main:notify", address, settings, wish.dead_after);
        assert_eq!(source.setup().await.expect("set up"), [""; 0], "nothing is made in the database");
        source.start(log.place(source.name())).await.expect("started");
        let (told, status) = watch::channel(source.status());
        let cursor = log.head();
        let into = log.clone();
        let pump = tokio::spawn(async move {
            let mut look = tokio::time::interval(Duration::from_millis(20));
            loop {
                tokio::select! {
                    batch = source.next() => {
                        into.append(batch.expect("a batch")).await.expect("appended");
                    }
                    _ = look.tick() => {
                        told.send_replace(source.status());
                    }
                }
            }
        });
        Self { ears, log, cursor, status, pump: pump.abort_handle() }
    }

    /// Waits until what is sent from now on is heard.
    async fn hears(&mut self, channel: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Err(error) = self.ears.want(channel).await {
            assert!(Instant::now() < deadline, "{channel}: {error}");
        }
    }

    /// Follows from now on.
    fn skip(&mut self) {
        self.cursor = self.log.head();
    }

    /// The next so many events.
    async fn events(&mut self, count: usize) -> Vec<Arc<Event>> {
        let mut appended = self.log.watch();
        let mut found = Vec::new();
        let arrive = async {
            while found.len() < count {
                appended.mark_unchanged();
                let read = self.log.read(self.cursor, count - found.len(), usize::MAX).await.expect("kept");
                match read.last() {
                    Some(last) => self.cursor = last.position,
                    None => appended.changed().await.expect("the log lives"),
                }
                found.extend(read);
            }
        };
        tokio::time::timeout(Duration::from_secs(20), arrive).await.expect("events in time");
        found
    }

    async fn texts(&mut self, count: usize) -> Vec<String> {
        self.events(count).await.iter().map(|event| text(&event.change)).collect()
    }

    async fn problem(&mut self, fits: impl Fn(Option<&str>) -> bool) -> Option<String> {
        let told = self.status.wait_for(|status| fits(status.problem.as_deref()));
        let told = tokio::time::timeout(Duration::from_secs(20), told).await.expect("said in time").expect("pumped");
        told.problem.clone()
    }
}

/// `news {"payload":…}` or `gap news`.
fn text(change: &Change) -> String {
    assert_eq!((change.tx, change.last), (0, true), "a notification is of no transaction");
    match &change.body {
        Body::Message(message) => {
            assert_eq!(&*message.event, "notify");
            let Channel::Notify(channel) = &message.channel else { panic!("{:?}", message.channel) };
            let json: serde_json::Value = serde_json::from_str(&message.json).expect("JSON");
            assert!(json["process_id"].as_i64().is_some_and(|pid| pid > 0), "{json}");
            format!("{channel} {}", json["payload"].as_str().expect("a payload"))
        }
        Body::Reset { channel: Channel::Notify(channel), cause: ResetCause::Missed, .. } => format!("gap {channel}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn two_notifications_of_one_transaction_arrive_in_order_and_a_rolled_back_one_never() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    hearing.hears("news").await;
    hearing.skip();
    database.run("begin; notify news, 'lost'; rollback").await;
    database.run("begin; notify news, 'one'; notify news, 'two'; notify other, 'unheard'; commit").await;
    assert_eq!(hearing.texts(2).await, ["news one", "news two"]);
}

#[tokio::test]
async fn three_hundred_notifications_of_one_transaction_arrive_in_order() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    hearing.hears("news").await;
    hearing.skip();
    database.run("select pg_notify('news', repeat('x', 7000) || i) from generate_series(1, 300) i").await;
    let expected: Vec<_> = (1..=300).map(|i| format!("news {}{i}", "x".repeat(7000))).collect();
    assert_eq!(hearing.texts(300).await, expected);
}

#[tokio::test]
async fn any_number_of_channels_is_heard_on_one_connection() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    for i in 0..50 {
        hearing.hears(&format!("room_{i}")).await;
    }
    hearing.skip();
    database.run("select pg_notify('room_' || i, 'hello') from generate_series(0, 49) i").await;
    let expected: Vec<_> = (0..50).map(|i| format!("room_{i} hello")).collect();
    assert_eq!(hearing.texts(50).await, expected);
    let client = database.connect().await.expect("connected");
    let listening = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'rowcast-notify'";
    assert_eq!(client.query_one(listening, &[]).await.expect("a count").get::<_, i64>(0), 1);
}

#[tokio::test]
async fn who_subscribes_after_a_channel_is_heard_has_no_gap_and_misses_nothing() {
    let database = Database::new().await.expect("a database");
    let writer = database.connect().await.expect("connected");
    let mut hearing = Hearing::of(&database.url()).await;
    for round in 0..30 {
        let channel = format!("room_{round}");
        hearing.hears(&channel).await;
        hearing.skip();
        writer.batch_execute(&format!("notify {channel}, 'first'")).await.expect("notified");
        assert_eq!(hearing.texts(1).await, [format!("{channel} first")]);
    }
}

#[tokio::test]
async fn who_resumes_from_before_a_channel_was_heard_is_told() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    hearing.hears("news").await;
    hearing.skip();
    hearing.hears("room_7").await;
    database.run("notify room_7, 'first'").await;
    assert_eq!(hearing.texts(2).await, ["gap room_7", "room_7 first"]);
}

#[tokio::test]
async fn channels_are_named_as_quoted_identifiers_are() {
    let database = Database::new().await.expect("a database");
    let wish = Wish { allow: &["*"], ..QUICK };
    let mut hearing = Hearing::with(&database.url(), wish).await;
    let writer = database.connect().await.expect("connected");
    for name in ["Upper", "with \"quotes\"", "wörter; select", &"é".repeat(31)] {
        hearing.hears(name).await;
        hearing.skip();
        writer.execute("select pg_notify($1, 'ü')", &[&name]).await.expect("notified");
        assert_eq!(hearing.texts(1).await, [format!("{name} ü")]);
    }
    assert!(matches!(hearing.ears.want(&"é".repeat(32)).await, Err(NotHeard::Name(_))));
}

#[tokio::test]
async fn only_configured_and_allowed_channels_are_heard() {
    let database = Database::new().await.expect("a database");
    let hearing = Hearing::of(&database.url()).await;
    assert_eq!(hearing.ears.want("secret").await, Err(NotHeard::NotAllowed));
    assert_eq!(hearing.ears.want("room_1").await, Ok(()));
    assert_eq!(hearing.ears.want("news").await, Ok(()));
}

#[tokio::test]
async fn without_a_channel_there_is_no_connection_and_the_first_one_makes_it() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::with(&database.url(), Wish { channels: &[], ..QUICK }).await;
    let client = database.connect().await.expect("connected");
    let count =
        "select count(*) from pg_stat_activity where datname = current_database() and application_name like 'rowcast%'";
    assert_eq!(client.query_one(count, &[]).await.expect("a count").get::<_, i64>(0), 0);
    hearing.hears("room_1").await;
    hearing.skip();
    database.run("notify room_1, 'heard'").await;
    assert_eq!(hearing.texts(1).await, ["room_1 heard"]);
}

#[tokio::test]
async fn a_terminated_connection_resumes_and_says_that_something_may_be_missing() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    hearing.hears("room_1").await;
    hearing.skip();
    database.run("notify news, 'before'").await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() \
                     and application_name = 'rowcast-notify'";
    database.run(terminate).await;
    assert_eq!(hearing.texts(3).await, ["news before", "gap news", "gap room_1"]);
    hearing.hears("news").await;
    database.run("notify news, 'after'; notify room_1, 'after'").await;
    assert_eq!(hearing.texts(2).await, ["news after", "room_1 after"]);
}

#[tokio::test]
async fn a_server_that_crashes_and_starts_again_is_heard_again() {
    let server = Postgres::start().expect("a server");
    let mut hearing = Hearing::of(&server.url("postgres")).await;
    hearing.hears("news").await;
    hearing.skip();
    server.stop(Stop::Immediate).expect("stopped");
    let problem = hearing.problem(|problem| problem.is_some()).await;
    assert!(matches!(hearing.ears.want("room_1").await, Err(NotHeard::Unavailable(_))), "{problem:?}");
    server.run().expect("started again");
    assert_eq!(hearing.texts(2).await, ["gap news", "gap room_1"]);
    hearing.hears("news").await;
    server.connect("postgres").await.expect("connected").batch_execute("notify news, 'after'").await.expect("notified");
    assert_eq!(hearing.texts(1).await, ["news after"]);
    hearing.problem(|problem| problem.is_none()).await;
}

#[tokio::test]
async fn a_cut_cable_resumes() {
    let database = Database::new().await.expect("a database");
    let cable = Cable::to(database.port()).await.expect("a cable");
    let mut hearing = Hearing::of(&format!("postgres://postgres@127.0.0.1:{}/{}", cable.port(), database.name)).await;
    hearing.hears("news").await;
    hearing.skip();
    cable.cut();
    hearing.problem(|problem| problem.is_some()).await;
    database.run("notify news, 'missed'").await;
    cable.mend();
    assert_eq!(hearing.texts(1).await, ["gap news"]);
    hearing.hears("news").await;
    database.run("notify news, 'after'").await;
    assert_eq!(hearing.texts(1).await, ["news after"]);
}

#[tokio::test]
async fn a_cable_that_goes_silent_is_noticed_in_time() {
    let database = Database::new().await.expect("a database");
    let cable = Cable::to(database.port()).await.expect("a cable");
    let mut hearing = Hearing::of(&format!("postgres://postgres@127.0.0.1:{}/{}", cable.port(), database.name)).await;
    hearing.hears("news").await;
    hearing.skip();
    let silent = Instant::now();
    cable.silence();
    let problem = hearing.problem(|problem| problem.is_some()).await.expect("a problem");
    assert!(silent.elapsed() < QUICK.dead_after * 2, "noticed after {:?}", silent.elapsed());
    assert!(problem.contains("is dead"), "{problem}");
    cable.mend();
    assert_eq!(hearing.texts(1).await, ["gap news"]);
}

#[tokio::test]
async fn a_transaction_pooler_is_named_as_the_cause() {
    let database = Database::new().await.expect("a database");
    let bouncer = PgBouncer::start(database.port(), "transaction").expect("a pooler");
    let mut hearing = Hearing::of(&bouncer.url(&database.name)).await;
    // A single attempt may fail in another way where the machine is slow.
    let named = |problem: Option<&str>| problem.is_some_and(|problem| problem.contains("pool_mode=transaction"));
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        hearing.problem(named).await;
        match hearing.ears.want("news").await {
            Err(NotHeard::Unavailable(reason)) if named(Some(&reason)) => return,
            other => assert!(Instant::now() < deadline, "the pooler is not named: {other:?}"),
        }
        tokio::time::sleep(QUICK.probe_every).await;
    }
}

#[tokio::test]
async fn a_session_pooler_is_no_hindrance() {
    let database = Database::new().await.expect("a database");
    let bouncer = PgBouncer::start(database.port(), "session").expect("a pooler");
    let mut hearing = Hearing::of(&bouncer.url(&database.name)).await;
    hearing.hears("news").await;
    hearing.skip();
    database.run("notify news, 'through'").await;
    assert_eq!(hearing.texts(1).await, ["news through"]);
}

#[tokio::test]
async fn a_replica_is_named_as_the_cause() {
    let server = Postgres::start().expect("a server");
    server.stop(Stop::Fast).expect("stopped");
    std::fs::write(server.folder().join("data/standby.signal"), "").expect("a signal");
    server.run().expect("started as a replica");
    let mut hearing = Hearing::of(&server.url("postgres")).await;
    let problem = hearing.problem(|problem| problem.is_some()).await.expect("a problem");
    assert!(problem.contains("read-only replica"), "{problem}");
}

#[tokio::test]
async fn a_log_that_is_kept_is_continued_after_a_restart() {
    let database = Database::new().await.expect("a database");
    let mut hearing = Hearing::of(&database.url()).await;
    hearing.hears("news").await;
    database.run("notify news, 'one'").await;
    assert_eq!(hearing.texts(2).await, ["gap news", "news one"]);
    let (log, cursor) = (hearing.log.clone(), hearing.cursor);
    drop(hearing);
    database.run("notify news, 'missed'").await;
    let mut again = Hearing::into(log, &database.url(), QUICK).await;
    again.cursor = cursor;
    again.hears("news").await;
    database.run("notify news, 'two'").await;
    assert_eq!(again.texts(2).await, ["gap news", "news two"]);
}
