//! What is made in a PostgreSQL database is made once, and nothing of it stays.

use rowcast::postgres::install::{self, Capabilities, InstallError};
use rowcast::postgres::{Identity, Mode, PostgresSettings};
use servers::Database;
use tokio_postgres::Client;

fn settings(database: &Database) -> PostgresSettings {
    PostgresSettings { slot: database.name.clone(), ..PostgresSettings::default() }
}

/// Everything in the catalog that setup could have changed, as text.
async fn catalog(client: &Client) -> Vec<String> {
    let sql = "SELECT concat('schema ', nspname, ' ', nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
         UNION SELECT concat('relation ', oid::regclass, ' ', relkind, relreplident, relacl) FROM pg_class
         UNION SELECT concat('function ', oid::regprocedure) FROM pg_proc
         UNION SELECT concat('trigger ', tgname, ' ', tgrelid::regclass, tgenabled) FROM pg_trigger
         UNION SELECT 'event trigger ' || evtname FROM pg_event_trigger
         UNION SELECT 'publication ' || pubname FROM pg_publication
         UNION SELECT 'slot ' || slot_name FROM pg_replication_slots WHERE database = current_database()
         ORDER BY 1";
    client.query(sql, &[]).await.expect("the catalog").iter().map(|row| row.get(0)).collect()
}

const TABLES: &str = r#"
    CREATE TABLE keyed (id int PRIMARY KEY, a text);
    CREATE TABLE bare (a text);
    CREATE TABLE named (a int NOT NULL UNIQUE); ALTER TABLE named REPLICA IDENTITY USING INDEX named_a_key;
    CREATE TABLE silent (id int PRIMARY KEY); ALTER TABLE silent REPLICA IDENTITY NOTHING;
    CREATE TABLE late (id int PRIMARY KEY DEFERRABLE);
    CREATE SCHEMA "Größe"; CREATE TABLE "Größe"."say ""hi"" – 'x'" (id int PRIMARY KEY);
    CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
    CREATE VIEW seen AS SELECT * FROM keyed;"#;

async fn with_tables() -> (Database, Client) {
    let database = Database::new().await.expect("a database");
    let client = database.connect().await.expect("connected");
    client.batch_execute(TABLES).await.expect("tables");
    (database, client)
}

async fn check_setup_and_back(mode: Mode, identity: Identity) {
    let (database, client) = with_tables().await;
    let settings = PostgresSettings { identity, ..settings(&database) };
    let before = catalog(&client).await;
    let planned = install::plan_setup(&client, &settings, mode).await.expect("a plan");
    assert_eq!(catalog(&client).await, before, "a plan changes nothing");
    let made = install::setup(&client, &settings, mode).await.expect("set up");
    assert_eq!(made, planned);
    assert_eq!(install::setup(&client, &settings, mode).await.expect("again"), Vec::<String>::new());
    assert_eq!(install::refresh(&client, &settings, mode).await.expect("fresh"), Vec::<String>::new());
    let write = "INSERT INTO bare VALUES ('a'); UPDATE bare SET a = 'b'; DELETE FROM bare;
                 INSERT INTO silent VALUES (1); UPDATE silent SET id = 2; INSERT INTO late VALUES (1); DELETE FROM late;
                 INSERT INTO parted VALUES (1, '2026-05-05'); UPDATE parted SET id = 2; DELETE FROM parted";
    client.batch_execute(write).await.expect("writes go on");
    client.batch_execute("DROP TABLE named").await.expect("dropped");
    let gone = install::teardown(&client, &settings).await.expect("torn down");
    assert!(!gone.is_empty());
    let expected: Vec<String> = before.into_iter().filter(|line| !line.contains("named")).collect();
    assert_eq!(catalog(&client).await, expected);
    assert_eq!(install::teardown(&client, &settings).await.expect("again"), Vec::<String>::new());
}

#[tokio::test]
async fn setup_for_the_log_is_made_once_and_taken_back() {
    check_setup_and_back(Mode::Wal, Identity::Needed).await;
}

#[tokio::test]
async fn setup_with_every_identity_full_is_taken_back() {
    check_setup_and_back(Mode::Wal, Identity::Full).await;
}

#[tokio::test]
async fn setup_that_leaves_identities_is_taken_back() {
    check_setup_and_back(Mode::Wal, Identity::Leave).await;
}

#[tokio::test]
async fn setup_of_triggers_is_made_once_and_taken_back() {
    check_setup_and_back(Mode::Outbox, Identity::Needed).await;
}

#[tokio::test]
async fn one_way_of_capturing_takes_the_place_of_the_other() -> Result<(), InstallError> {
    let (database, client) = with_tables().await;
    let settings = settings(&database);
    let before = catalog(&client).await;
    install::setup(&client, &settings, Mode::Wal).await?;
    let wal = catalog(&client).await;
    install::setup(&client, &settings, Mode::Outbox).await?;
    assert_eq!(install::setup(&client, &settings, Mode::Outbox).await?, Vec::<String>::new());
    assert!(catalog(&client).await.iter().all(|line| !line.starts_with("slot") && !line.starts_with("publication")));
    install::setup(&client, &settings, Mode::Wal).await?;
    assert_eq!(catalog(&client).await, wal);
    install::teardown(&client, &settings).await?;
    assert_eq!(catalog(&client).await, before);
    Ok(())
}

/// The tables of a publication, by name.
async fn published(client: &Client, publication: &str) -> Vec<String> {
    let sql = "SELECT tablename::text FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1";
    client.query(sql, &[&publication]).await.expect("tables").iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_table_moves_to_where_its_updates_do_not_fail() -> Result<(), InstallError> {
    let database = Database::new().await.expect("a database");
    let client = database.connect().await.expect("connected");
    client.batch_execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int)").await?;
    let settings = PostgresSettings { identity: Identity::Leave, ..settings(&database) };
    install::setup(&client, &settings, Mode::Wal).await?;
    assert_eq!(
        (published(&client, "rowcast").await, published(&client, "rowcast_inserts").await),
        (vec!["t".into()], vec!["u".into()])
    );
    client.batch_execute("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE u ADD PRIMARY KEY (id)").await?;
    install::refresh(&client, &settings, Mode::Wal).await?;
    assert_eq!(
        (published(&client, "rowcast").await, published(&client, "rowcast_inserts").await),
        (vec!["u".into()], vec!["t".into()])
    );
    client.batch_execute("INSERT INTO t VALUES (1); UPDATE t SET id = 2; DELETE FROM t").await?;
    client.batch_execute("DROP TABLE t; CREATE TABLE v (id int PRIMARY KEY)").await?;
    install::refresh(&client, &settings, Mode::Wal).await?;
    assert_eq!(published(&client, "rowcast").await, ["u", "v"]);
    install::teardown(&client, &settings).await?;
    Ok(())
}

#[tokio::test]
async fn who_drops_a_key_can_go_on_writing_at_once() -> Result<(), InstallError> {
    for identity in [Identity::Leave, Identity::Needed] {
        let database = Database::new().await.expect("a database");
        let client = database.connect().await.expect("connected");
        client
            .batch_execute("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE r (id int) PARTITION BY LIST (id)")
            .await?;
        let settings = PostgresSettings { identity, ..settings(&database) };
        let before = catalog(&client).await;
        install::setup(&client, &settings, Mode::Wal).await?;
        client
            .batch_execute(
                "BEGIN; ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t VALUES (1); UPDATE t SET id = 2; COMMIT",
            )
            .await?;
        client
            .batch_execute("CREATE TABLE r1 PARTITION OF r FOR VALUES IN (1); INSERT INTO r VALUES (1); DELETE FROM r")
            .await?;
        install::refresh(&client, &settings, Mode::Wal).await?;
        assert_eq!(install::refresh(&client, &settings, Mode::Wal).await?, Vec::<String>::new());
        client.batch_execute("UPDATE t SET id = 3; INSERT INTO r VALUES (1); DELETE FROM r").await?;
        install::teardown(&client, &settings).await?;
        client.batch_execute("DROP TABLE r1; TRUNCATE t; ALTER TABLE t ADD PRIMARY KEY (id)").await?;
        assert_eq!(catalog(&client).await, before);
    }
    Ok(())
}

#[tokio::test]
async fn who_may_not_read_the_log_is_told_what_would_help() -> Result<(), InstallError> {
    let database = Database::new().await.expect("a database");
    let client = database.connect().await.expect("connected");
    let role = &database.name;
    client.batch_execute(&format!("CREATE ROLE {role}; SET ROLE {role}")).await?;
    let able = Capabilities::of(&client, &settings(&database)).await?;
    assert!(!able.superuser && !able.replication && !able.create);
    let said = install::choose(&settings(&database), &able).expect_err("nothing is allowed");
    assert!(said.contains(&format!("ALTER ROLE {role} REPLICATION")), "{said}");
    assert!(said.contains("GRANT CREATE ON DATABASE"), "{said}");
    client.batch_execute(&format!("RESET ROLE; DROP ROLE {role}")).await?;
    Ok(())
}
