//! What a gateway refuses before anybody is connected, and what it says to do.

use rowcast::auth::rules::{Roles, RuleSpec};
use rowcast::gateway::Database;
use rowcast::postgres::Capture;
use rowcast::source::sqlite::SqliteSettings;
use serde_json::json;

use super::world::{Stage, ada, messages, rls};
use crate::rules::world::{World, auth, identity};

#[tokio::test]
async fn policies_that_would_not_hold_stop_the_start_with_what_to_do() {
    let stage = Stage::new().await;
    let role = stage.role.clone();
    let other = format!("owner_{role}");
    let checks = [
        ("SELECT 1", "no_such_role", "CREATE ROLE"),
        ("ALTER TABLE messages DISABLE ROW LEVEL SECURITY", &*role, "ENABLE ROW LEVEL SECURITY"),
        ("ALTER TABLE messages ENABLE ROW LEVEL SECURITY; ALTER ROLE {role} BYPASSRLS", &*role, "BYPASSRLS"),
        ("ALTER ROLE {role} NOBYPASSRLS SUPERUSER", &*role, "superuser"),
        ("ALTER ROLE {role} NOSUPERUSER; REVOKE SELECT (body) ON messages FROM {role}", &*role, "GRANT SELECT ON"),
        (
            "GRANT SELECT (body) ON messages TO {role}; REVOKE USAGE ON SCHEMA auth FROM {role}",
            &*role,
            "permission denied for schema auth",
        ),
        (
            "GRANT USAGE ON SCHEMA auth TO {role}; CREATE ROLE owner_{role}; ALTER TABLE messages OWNER TO owner_{role}; \
             GRANT USAGE ON SCHEMA auth TO owner_{role}; GRANT SELECT ON memberships TO owner_{role}",
            &*other,
            "FORCE ROW LEVEL SECURITY",
        ),
        (
            "ALTER TABLE messages ADD twice int GENERATED ALWAYS AS (room * 2) STORED; CREATE POLICY g ON messages USING (twice = 4)",
            &*role,
            "generated column `twice`",
        ),
    ];
    for (sql, role, part) in checks {
        stage.run(sql).await;
        let error = stage.start(Capture::Wal, auth(vec![messages(role)], None)).await.err().expect(part).to_string();
        assert!(error.contains(part) && error.contains("messages"), "{sql}: {error}");
    }
    stage.run("DROP POLICY g ON messages").await;
    stage.start(Capture::Wal, auth(vec![messages(&stage.role)], None)).await.expect("started");
}

#[tokio::test]
async fn the_gateway_has_to_be_a_member_of_the_role() {
    let stage = Stage::new().await;
    let gateway = format!("gateway_{}", stage.role);
    stage
        .run("CREATE ROLE gateway_{role} LOGIN REPLICATION; GRANT SELECT ON messages, memberships TO gateway_{role}")
        .await;
    let url = stage.database.url().replace("postgres@", &format!("{gateway}@"));
    let store = rowcast::store::postgres::PostgresStore::open(
        url.parse().expect("an address"),
        rowcast::postgres::PostgresSettings::default(),
        std::sync::Arc::default(),
    );
    use rowcast::store::Store as _;
    let table = store.table(&"messages".parse().expect("a name")).await.expect("a table");
    let role = rowcast::store::AsRole {
        role: stage.role.as_str().into(),
        claims: "{}".into(),
        readable: Some([0].as_slice().into()),
        era: 0,
    };
    let error = store.policies(&table, &role).await.expect_err("refused").to_string();
    assert!(error.contains(&format!("GRANT \"{}\"", stage.role)), "{error}");
    stage.run("GRANT {role} TO gateway_{role}").await;
    store.policies(&table, &role).await.expect("policies");
}

#[tokio::test]
async fn other_databases_have_no_policies() {
    let folder = tempfile::tempdir().expect("a folder");
    let database = Database::sqlite("world", folder.path().join("world.db"), SqliteSettings::default());
    let error = World::over(database, auth(vec![rls("t", "member")], None)).await.err().expect("refused").to_string();
    assert!(error.contains("`t`") && error.contains("PostgreSQL"), "{error}");
}

#[tokio::test]
async fn what_policies_read_has_to_be_captured() {
    let stage = Stage::new().await;
    let settings = rowcast::postgres::PostgresSettings { exclude: vec!["memberships".into()], ..Default::default() };
    let database = Database::postgres("shop", stage.database.url().parse().expect("an address"), settings);
    let error =
        World::over(database, auth(vec![messages(&stage.role)], None)).await.err().expect("refused").to_string();
    assert!(error.contains("`memberships`"), "{error}");
}

#[tokio::test]
async fn a_token_names_the_role_among_those_that_are_listed() {
    let stage = Stage::new().await;
    let roles = Roles::Named(vec![stage.role.clone(), "pg_monitor".into()]);
    let rule = RuleSpec { role: Some(roles), columns: Some(vec!["id".into()]), ..rls("memberships", "") };
    stage.run("GRANT SELECT ON memberships TO pg_monitor; CREATE POLICY all_of_them ON memberships TO pg_monitor USING (true)").await;
    let world = stage.gateway(Capture::Wal, vec![rule]).await;
    for (role, heard) in [
        (json!(stage.role), "2 rows"),
        (json!("pg_monitor"), "3 rows"),
        (json!("postgres"), "error"),
        (json!(null), "error"),
    ] {
        let mut claims = ada();
        claims["role"] = role;
        let mut client = world.client(&identity(claims));
        client.subscribe("table:memberships", json!({}));
        client.hears(&[heard]).await;
    }
}

#[tokio::test]
async fn a_table_that_comes_later_is_looked_at_when_it_is_asked_for() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![rls("later", &stage.role)]).await;
    stage
        .run("CREATE TABLE later (id int PRIMARY KEY); GRANT SELECT ON later TO {role}; INSERT INTO later VALUES (1)")
        .await;
    let mut client = world.client(&identity(ada()));
    client.subscribe("table:later", json!({}));
    client.refused(rowcast::protocol::Code::Internal).await;
    stage.run("ALTER TABLE later ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON later USING (true)").await;
    client.subscribe("table:later", json!({}));
    client.hears(&["1 rows", "subscribed"]).await;
}
