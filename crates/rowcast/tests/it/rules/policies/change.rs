//! Policies, rights and the server itself change while clients are connected.

use rowcast::postgres::Capture;
use rowcast::protocol::Code;
use serde_json::json;
use servers::{Postgres, Stop};

use super::world::{Stage, ada, messages, rls};
use crate::rules::world::{Client, World, identity};

async fn connected(world: &World) -> Client {
    let mut client = world.client(&identity(ada()));
    client.subscribe("table:messages", json!({}));
    client.hears(&["2 rows", "subscribed"]).await;
    client
}

#[tokio::test]
async fn a_policy_that_changes_holds_for_what_a_client_has_already() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut ada = connected(&world).await;
    stage.run("ALTER POLICY of_authors ON messages USING (false)").await;
    ada.hears(&["revoked", "1 rows", "subscribed"]).await;
    stage.run("DROP POLICY of_members ON messages").await;
    ada.hears(&["revoked", "0 rows", "subscribed"]).await;
    stage.run("CREATE POLICY all_of_room_3 ON messages FOR SELECT TO PUBLIC USING (room = 3)").await;
    ada.hears(&["revoked", "2 rows", "subscribed"]).await;
    // What they call, too.
    stage.run("CREATE POLICY own ON messages FOR SELECT TO {role} USING (author = auth.uid())").await;
    ada.hears(&["revoked", "2 rows", "subscribed"]).await;
    stage.run("CREATE OR REPLACE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'bob' $$").await;
    ada.hears(&["revoked", "3 rows", "subscribed"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn what_comes_after_a_policy_was_altered_is_judged_by_the_new_one() {
    let stage = Stage::new().await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut ada = connected(&world).await;
    // Committed before the row is, and long before anybody looks at the policies by himself.
    stage
        .run(
            "ALTER POLICY of_members ON messages USING (false); \
             INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'b', 's')",
        )
        .await;
    ada.hears(&["revoked", "1 rows", "subscribed"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn where_policies_no_longer_hold_nothing_is_told() {
    for sql in [
        "ALTER TABLE messages DISABLE ROW LEVEL SECURITY",
        "ALTER ROLE {role} BYPASSRLS",
        "REVOKE SELECT (body) ON messages FROM {role}",
    ] {
        let stage = Stage::new().await;
        let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
        let mut ada = connected(&world).await;
        stage.run(sql).await;
        ada.hears(&["revoked"]).await;
        ada.refused(Code::Internal).await;
        stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'ada', 'b', 's')").await;
        ada.subscribe("table:messages", json!({}));
        ada.refused(Code::Internal).await;
    }
}

#[tokio::test]
async fn a_row_at_which_a_policy_fails_is_not_shown_and_the_others_are() {
    let stage = Stage::new().await;
    stage
        .run(
            "CREATE TABLE items (id int PRIMARY KEY, n int); ALTER TABLE items ENABLE ROW LEVEL SECURITY; \
             GRANT SELECT ON items TO {role}; CREATE POLICY divides ON items USING (10 / n > 1)",
        )
        .await;
    let world = stage.gateway(Capture::Wal, vec![rls("items", &stage.role)]).await;
    let mut ada = world.client(&identity(ada()));
    ada.subscribe("table:items", json!({}));
    ada.hears(&["0 rows", "subscribed"]).await;
    stage.run("INSERT INTO items VALUES (1, 1), (2, 0), (3, 2), (4, 100), (5, NULL), (6, 3)").await;
    ada.hears(&["insert 1", "insert 3", "insert 6"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn values_of_every_type_are_judged_as_the_table_has_them() {
    let stage = Stage::new().await;
    stage
        .run(
            "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN small AS int CHECK (value < 10);
             CREATE TABLE things (id int PRIMARY KEY, \"Order\" mood, tags text[], grid int[][], doc jsonb, plain json, at timestamptz, raw bytea,
                 price numeric(10,2), p pair, s small, u uuid, x double precision, flag boolean, code char(4), during interval);
             ALTER TABLE things ENABLE ROW LEVEL SECURITY; GRANT SELECT ON things TO {role};
             CREATE FUNCTION fits(things) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT ($1).price = 10.50 $$;
             CREATE POLICY all_of_them ON things USING (\"Order\" = 'happy' AND tags @> ARRAY['a,\"b'] AND grid[2][1] = 3
                 AND doc @> '{\"k\": [1, \"x\"]}' AND plain ->> 'k' = 'v' AND at = '2026-01-02 03:04:05.123456+00' AND raw = '\\x00ff'
                 AND fits(things) AND things IS NOT NULL AND (p).b = 'q\"' AND s = 3 AND u = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'
                 AND x = 'Infinity' AND flag AND code = 'ab' AND during = '1 day 02:00')",
        )
        .await;
    let world = stage.gateway(Capture::Wal, vec![rls("things", &stage.role)]).await;
    let mut ada = world.client(&identity(ada()));
    ada.subscribe("table:things", json!({}));
    ada.hears(&["0 rows", "subscribed"]).await;
    let row = |id: i32, flag: bool| {
        format!(
            "INSERT INTO things VALUES ({id}, 'happy', ARRAY['c', 'a,\"b'], '{{{{1,2}},{{3,4}}}}', '{{\"k\": [1, \"x\", 2]}}', '{{\"k\": \"v\"}}',
             '2026-01-02 03:04:05.123456+00', '\\x00ff', 10.5, (1, 'q\"'), 3, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'Infinity', {flag}, 'ab',
             '1 day 02:00')"
        )
    };
    stage.run(&row(1, false)).await;
    stage.run(&row(2, true)).await;
    ada.hears(&["insert 2"]).await;
    stage
        .run(
            "UPDATE things SET flag = true WHERE id = 1; UPDATE things SET doc = '{}' WHERE id = 2; DELETE FROM things",
        )
        .await;
    ada.hears(&["insert 1", "delete 2", "delete 1"]).await;
    ada.hears_nothing().await;
}

#[tokio::test]
async fn while_the_server_is_away_nothing_is_told_and_nothing_is_lost() {
    let server = Postgres::start().expect("a server");
    let stage = Stage::over(server.database().await.expect("a database")).await;
    let world = stage.gateway(Capture::Wal, vec![messages(&stage.role)]).await;
    let mut client = connected(&world).await;
    stage.run("INSERT INTO messages VALUES (10, 1, 'a', 'bob', 'b', 's')").await;
    client.hears(&["insert 10"]).await;
    server.stop(Stop::Immediate).expect("stopped");
    server.run().expect("started again");
    stage.run("INSERT INTO messages VALUES (11, 1, 'a', 'bob', 'b', 's'), (12, 3, 'a', 'bob', 'b', 's')").await;
    client.hears(&["insert 11"]).await;
    client.hears_nothing().await;
}
