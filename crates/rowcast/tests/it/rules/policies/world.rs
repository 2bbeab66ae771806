//! A PostgreSQL database as Supabase's users write it, with a role of its own, and gateways over it.

use rowcast::auth::Auth;
use rowcast::auth::rules::{Roles, RuleSpec};
use rowcast::gateway::{Database, StartError};
use rowcast::postgres::{Capture, PostgresSettings};
use serde_json::{Value as Json, json};

use crate::rules::world::{Client, World, auth};

/// `{role}` is who reads.
const SCHEMA: &str = "
    CREATE ROLE {role} NOLOGIN;
    CREATE SCHEMA auth;
    GRANT USAGE ON SCHEMA auth, public TO {role};
    CREATE FUNCTION auth.uid() RETURNS text LANGUAGE sql STABLE AS
        $$ SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub' $$;
    CREATE TABLE messages (id int PRIMARY KEY, room int, tenant text, author varchar(20), body text, secret text);
    CREATE TABLE memberships (id int PRIMARY KEY, user_id text, room int);
    ALTER TABLE messages ENABLE ROW LEVEL SECURITY;
    ALTER TABLE memberships ENABLE ROW LEVEL SECURITY;
    GRANT SELECT (id, room, tenant, author, body) ON messages TO {role};
    GRANT SELECT ON memberships TO {role};
    CREATE POLICY own ON memberships FOR SELECT TO {role} USING (user_id = auth.uid());
    CREATE POLICY of_members ON messages FOR SELECT TO {role}
        USING (EXISTS (SELECT FROM memberships m WHERE m.room = messages.room AND m.user_id = auth.uid()));
    CREATE POLICY of_authors ON messages TO {role} USING (author = auth.uid());
    CREATE POLICY of_tenants ON messages AS RESTRICTIVE TO {role}
        USING (tenant = (SELECT current_setting('request.jwt.claims', true)::json ->> 'tenant'));
    CREATE POLICY of_others ON messages FOR SELECT TO pg_monitor USING (true);
    CREATE POLICY of_writers ON messages FOR UPDATE TO {role} USING (true);
    INSERT INTO memberships VALUES (1, 'ada', 1), (2, 'ada', 2), (3, 'bob', 1);
    INSERT INTO messages VALUES (1, 1, 'a', 'bob', 'in 1', 's'), (2, 3, 'a', 'bob', 'by bob', 's'), (3, 3, 'b', 'kim', 'c', 's'),
        (4, 2, 'b', 'kim', 'elsewhere', 's'), (5, 3, 'a', 'ada', 'by ada', 's');";

pub(super) struct Stage {
    pub(super) database: servers::Database,
    pub(super) role: String,
}

/// The rule of `messages`: what ends when a membership does is each user's own.
pub(super) fn messages(role: &str) -> RuleSpec {
    RuleSpec {
        reads: Some(vec!["memberships where user_id = claims.sub".into()]),
        columns: Some(["id", "room", "tenant", "author", "body"].map(str::to_owned).to_vec()),
        ..rls("messages", role)
    }
}

pub(super) fn rls(table: &str, role: &str) -> RuleSpec {
    RuleSpec {
        table: Some(table.parse().expect("a name")),
        rls: true,
        role: Some(Roles::One(role.to_owned())),
        ..RuleSpec::default()
    }
}

impl Stage {
    pub(super) async fn new() -> Self {
        Self::over(servers::Database::new().await.expect("a database")).await
    }

    pub(super) async fn over(database: servers::Database) -> Self {
        // Roles are the server's, which others may share.
        let role = format!("member_{}", database.name);
        database.run(&SCHEMA.replace("{role}", &role)).await;
        Self { database, role }
    }

    pub(super) async fn run(&self, sql: &str) {
        self.database.run(&sql.replace("{role}", &self.role)).await;
    }

    pub(super) fn database(&self, capture: Capture) -> Database {
        self.database_with(PostgresSettings { capture, ..PostgresSettings::default() })
    }

    pub(super) fn database_with(&self, settings: PostgresSettings) -> Database {
        let name = &self.database.name;
        let settings = PostgresSettings { slot: name.clone(), publication: name.clone(), ..settings };
        Database::postgres("shop", self.database.url().parse().expect("an address"), settings)
    }

    pub(super) async fn gateway(&self, capture: Capture, rules: Vec<RuleSpec>) -> World {
        self.start(capture, auth(rules, None)).await.expect("started")
    }

    pub(super) async fn start(&self, capture: Capture, auth: Auth) -> Result<World, StartError> {
        World::over(self.database(capture), auth).await
    }

    /// What the role sees of a table with these claims, by its own SELECT: rows as JSON.
    pub(super) async fn sees(&self, claims: &Json, columns: &str, table: &str) -> Vec<Json> {
        let mut client = self.database.connect().await.expect("connected");
        let asked = client.transaction().await.expect("begun");
        let claims = claims.to_string().replace('\'', "''");
        asked
            .batch_execute(&format!("SET LOCAL ROLE {}; SET LOCAL request.jwt.claims = '{claims}'", self.role))
            .await
            .expect("become the role");
        let sql = format!("SELECT to_json(r)::text FROM (SELECT {columns} FROM {table} ORDER BY id) AS r");
        let rows = asked.query(&sql, &[]).await.expect("asked");
        rows.iter().map(|row| serde_json::from_str(row.get(0)).expect("JSON")).collect()
    }

    /// Returns when a client has been told that the policies have changed, and has begun anew.
    pub(super) async fn until_told(&self, client: &mut Client) {
        loop {
            let message = client.next().await;
            if message.kind() == "revoked" {
                break;
            }
            assert!(matches!(message.kind(), "subscribed" | "snapshot"), "{message:?}");
        }
        while client.next().await.kind() != "subscribed" {}
    }
}

pub(super) fn ada() -> Json {
    json!({ "sub": "ada", "tenant": "a" })
}
