use std::sync::Arc;

use super::*;
use crate::auth::Standing;

fn identity(claims: Json) -> Identity {
    let Json::Object(claims) = claims else { panic!("claims are an object") };
    Identity { standing: Standing::Known, claims, ..Arc::unwrap_or_clone(Identity::anonymous()) }
}

fn spec(table: &str) -> RuleSpec {
    RuleSpec { table: Some(table.parse().expect("a name")), ..RuleSpec::default() }
}

fn channel(pattern: &str) -> RuleSpec {
    RuleSpec { channel: Some(pattern.into()), ..RuleSpec::default() }
}

#[test]
fn the_first_rule_whose_condition_holds_is_the_one() {
    let of = |when: Option<&str>, read: &str| RuleSpec {
        when: when.map(Into::into),
        read: Some(read.into()),
        ..spec("invoices")
    };
    let rules =
        vec![of(Some("claims.role = 'admin'"), "true"), of(Some("claims.role = 'member'"), "owner = claims.sub")];
    let rules = Rules::new(rules, Some("claims.role = 'admin'"), None).expect("rules");
    let read = |claims: Json| {
        let rule = rules.table(&TableName::bare("Invoices"), &identity(claims), Dialect::Sqlite)?;
        rule.read.as_ref().map(|filter| filter.as_str().to_owned())
    };
    assert_eq!(read(serde_json::json!({ "role": "admin" })).as_deref(), Some("true"));
    assert_eq!(read(serde_json::json!({ "role": "member" })).as_deref(), Some("owner = claims.sub"));
    assert_eq!(read(serde_json::json!({ "role": "guest" })), None);
    assert_eq!(read(serde_json::json!({})), None, "a missing claim is no admin");
    assert!(rules.is_admin(&identity(serde_json::json!({ "role": "admin" }))));
    assert!(!rules.is_admin(&identity(serde_json::json!({ "role": ["admin"] }))), "a list is not its element");
}

#[test]
fn a_pattern_takes_parts_of_a_channels_name() {
    let rules = vec![channel("room:{room}"), channel("notify:*")];
    let rules = Rules::new(rules, None, None).expect("rules");
    let taken = |channel: &str| rules.channel(channel, &identity(serde_json::json!({}))).map(|(_, taken)| taken.values);
    assert_eq!(taken("room:lobby"), Some(vec!["lobby".to_owned()]));
    assert_eq!(taken("notify:a:b"), Some(vec![]));
    for other in ["room:", "room:a:b", "room:a/b", "xroom:lobby", "event:a", "room:a\nb:c"] {
        assert_eq!(taken(other), None, "{other:?}");
    }
}

#[test]
fn everything_that_is_wrong_is_told() {
    let wrong = |spec: RuleSpec, key: &str, part: &str| {
        let errors = Rules::new(vec![spec], None, None).expect_err(part);
        assert!(errors.iter().any(|e| e.key == key && e.message.contains(part)), "{part}: {errors:?}");
    };
    wrong(RuleSpec::default(), "table", "a table or about channels");
    wrong(RuleSpec { read: Some("a = ".into()), ..spec("t") }, "read", "ends where");
    wrong(RuleSpec { when: Some("owner = claims.sub".into()), ..spec("t") }, "when", "no column `owner`");
    wrong(RuleSpec { publish: Some("true".into()), ..spec("t") }, "publish", "about channels");
    wrong(RuleSpec { subscribe: Some("hall = 'a'".into()), ..channel("room:{room}") }, "subscribe", "no column `hall`");
    wrong(channel("table:orders"), "channel", "no pattern");
    wrong(channel("room:{a}{a}"), "channel", "twice");
    wrong(channel("room:{a"), "channel", "not closed");
}

#[test]
fn tables_that_decide_about_others_are_known() {
    let read = "room in (select room from memberships where user = claims.sub) or id in (select id from public.shares)";
    let rules = vec![RuleSpec { read: Some(read.into()), ..spec("messages") }];
    let rules = Rules::new(rules, None, None).expect("rules");
    let names: Vec<String> = rules.membership_tables().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["memberships", "public.shares"]);
}

#[test]
fn a_rule_is_about_the_table_that_the_database_calls_so() {
    let of = |name: &str| RuleSpec { read: Some("true".into()), ..spec(name) };
    let rules = Rules::new(vec![of("tasks"), of("audit.log")], None, None).expect("rules");
    let found = |name: &str, dialect| {
        let name = name.parse().expect("a name");
        rules.table(&name, &identity(serde_json::json!({})), dialect).is_some()
    };
    for (name, in_sqlite, in_postgres) in [
        ("tasks", true, true),
        ("Tasks", true, false),
        ("public.tasks", true, true),
        ("audit.tasks", false, false),
        ("audit.log", true, true),
        ("audit.Log", true, false),
        ("public.log", false, false),
    ] {
        assert_eq!((found(name, Dialect::Sqlite), found(name, Dialect::Postgres)), (in_sqlite, in_postgres), "{name}");
    }
}
