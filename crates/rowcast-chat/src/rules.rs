//! Who may see what of the chat: rules as anybody could write them.

use rowcast::auth::rules::RuleSpec;
use rowcast::event::TableName;

/// Who is in a room may see all of it.
const OF_MY_ROOMS: &str = "room in (select room from chat_members where user_id = claims.sub)";

/// Tables and who may read which of their rows.
const READ: [(&str, &str); 9] = [
    (
        "chat_profiles",
        "id = claims.sub or (id in (select contact from chat_contacts where owner = claims.sub) \
         and id not in (select owner from chat_contacts where contact = claims.sub and state = 'blocked'))",
    ),
    (
        "chat_seen",
        "user_id = claims.sub or user_id in (select owner from chat_contacts where contact = claims.sub and state = 'accepted')",
    ),
    ("chat_contacts", "owner = claims.sub"),
    ("chat_rooms", "id in (select room from chat_members where user_id = claims.sub)"),
    ("chat_members", OF_MY_ROOMS),
    ("chat_receipts", OF_MY_ROOMS),
    ("chat_messages", OF_MY_ROOMS),
    ("chat_reactions", OF_MY_ROOMS),
    ("chat_files", "owner = claims.sub or room in (select room from chat_members where user_id = claims.sub)"),
];

/// Of a user, whose contacts may see that he is there.
const SEES_PRESENCE: &str =
    "user = claims.sub or user in (select owner from chat_contacts where contact = claims.sub and state = 'accepted')";

/// The rules that make the chat's tables and channels visible to whom they concern. They go before all others.
pub fn rules() -> Vec<RuleSpec> {
    let table = |(name, read): (&str, &str)| RuleSpec {
        table: Some(TableName::bare(name)),
        read: Some(read.into()),
        shared: true,
        ..RuleSpec::default()
    };
    let user = RuleSpec {
        channel: Some("room:chat-user:{user}".into()),
        presence: Some(SEES_PRESENCE.into()),
        ..RuleSpec::default()
    };
    let talk = RuleSpec {
        channel: Some("room:chat:{room}".into()),
        presence: Some(OF_MY_ROOMS.into()),
        subscribe: Some(OF_MY_ROOMS.into()),
        publish: Some(OF_MY_ROOMS.into()),
        ..RuleSpec::default()
    };
    // Whatever else looks like one of the chat's channels is nobody's.
    let none = |pattern: &str| RuleSpec { channel: Some(pattern.into()), ..RuleSpec::default() };
    let channels = [user, talk, none("room:chat:*"), none("room:chat-user:*")];
    READ.into_iter().map(table).chain(channels).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rowcast::auth::rules::Rules;

    use super::*;
    use crate::tables;

    #[test]
    fn they_are_rules_of_the_tables_that_are_shown_and_of_no_other() {
        Rules::new(rules(), None, None).expect("rules");
        let ruled: BTreeSet<String> = rules().into_iter().filter_map(|rule| Some(rule.table?.to_string())).collect();
        let shown: BTreeSet<String> = tables::shown().into_iter().map(|table| table.name.to_string()).collect();
        assert_eq!(ruled, shown);
    }
}
