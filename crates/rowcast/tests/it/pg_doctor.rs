//! What the doctor finds.

use rowcast::postgres::doctor::{Finding, State, examine};
use rowcast::postgres::{Address, Capture, PostgresSettings};
use servers::{Database, Postgres, PostgresOptions};

async fn examined(url: &str, settings: &PostgresSettings) -> Vec<Finding> {
    let address: Address = url.parse().expect("an address");
    examine(&address, settings).await.expect("examined")
}

#[track_caller]
fn find<'a>(findings: &'a [Finding], about: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.about == about).unwrap_or_else(|| panic!("{about}: {findings:#?}"))
}

fn settings(database: &Database) -> PostgresSettings {
    let name = database.name.clone();
    PostgresSettings { slot: name.clone(), publication: name, ..PostgresSettings::default() }
}

#[tokio::test]
async fn a_server_that_is_ready_has_nothing_broken() {
    let database = Database::new().await.expect("a database");
    database.run("create table orders (id int primary key, total int)").await;
    let settings = settings(&database);
    let findings = examined(&database.url(), &settings).await;
    assert!(findings.iter().all(|finding| finding.state < State::Broken), "{findings:#?}");
    assert!(find(&findings, "mode").message.starts_with("write-ahead log"));
    let orders = find(&findings, "table public.orders");
    assert!(orders.message.contains("rowcast setup") && orders.sql.is_empty(), "{orders:?}");
    database.run(&format!("create publication {}", settings.publication)).await;
    let findings = examined(&database.url(), &settings).await;
    let orders = find(&findings, "table public.orders");
    assert_eq!(orders.sql, [format!("ALTER PUBLICATION \"{}\" ADD TABLE \"public\".\"orders\"", settings.publication)]);
    assert_eq!(find(&findings, "slot").state, State::Advice);
}

#[tokio::test]
async fn what_is_lost_of_each_table_is_said() {
    let database = Database::new().await.expect("a database");
    let settings = settings(&database);
    let publication = &settings.publication;
    database
        .run(&format!(
            "create table keyed (id int primary key); create table whole (a int); alter table whole replica identity full;
             create table loose (a int); create unlogged table fleeting (id int primary key); create table \"Größe\" (id int primary key);
             create publication {publication} for table keyed, whole, loose"
        ))
        .await;
    let findings = examined(&database.url(), &settings).await;
    assert!(find(&findings, "table public.keyed").message.contains("old key only"));
    assert!(find(&findings, "table public.whole").message.contains("whole old rows"));
    let loose = find(&findings, "table public.loose");
    assert!(loose.state == State::Warning && loose.message.contains("deletes fail"), "{loose:?}");
    for statement in &loose.sql {
        database.run(statement).await;
    }
    assert!(find(&findings, "table public.fleeting").message.contains("unlogged"));
    assert_eq!(find(&findings, "table public.Größe").state, State::Advice);
    let mended = examined(&database.url(), &settings).await;
    assert_eq!(find(&mended, "table public.loose").state, State::Good);
}

#[tokio::test]
async fn a_forgotten_slot_and_what_it_holds_back_are_found() {
    let database = Database::new().await.expect("a database");
    let orphan = format!("rowcast_{}", &database.name);
    let client = database.connect().await.expect("connected");
    client
        .batch_execute(&format!("select pg_create_logical_replication_slot('{orphan}', 'pgoutput')"))
        .await
        .expect("a slot");
    let findings = examined(&database.url(), &settings(&database)).await;
    let slot = find(&findings, &format!("slot {orphan}"));
    assert!(slot.state == State::Warning && slot.message.contains(&database.name), "{slot:?}");
    database.run(&slot.sql[0]).await;
    let findings = examined(&database.url(), &settings(&database)).await;
    assert!(!findings.iter().any(|finding| finding.about == format!("slot {orphan}")));
}

#[tokio::test]
async fn a_server_below_logical_and_a_role_without_rights_are_told_what_to_do() {
    let server = Postgres::start_with(&PostgresOptions::default().set("wal_level", "replica")).expect("started");
    let database = server.database().await.expect("a database");
    database.run("create table orders (id int primary key); create role app login").await;
    let url = database.url().replace("postgres@", "app@");
    let findings = examined(&url, &PostgresSettings::default()).await;
    assert_eq!(find(&findings, "wal_level").sql, ["ALTER SYSTEM SET wal_level = 'logical'"]);
    assert_eq!(find(&findings, "replication privilege").sql, ["ALTER ROLE \"app\" REPLICATION"]);
    assert!(find(&findings, "mode").message.starts_with("outbox triggers"));
    assert_eq!(find(&findings, "table public.orders").state, State::Broken);
    let wal = PostgresSettings { capture: Capture::Wal, ..PostgresSettings::default() };
    assert_eq!(find(&examined(&url, &wal).await, "wal_level").state, State::Broken);
}
