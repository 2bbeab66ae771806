//! What a client may do. Asked before anything is done for it.

use std::sync::Arc;

use serde_json::Value as Json;

use super::Session;
use super::chosen::Set;
use super::node::Node;
pub(crate) use super::rights::known;
use super::rights::{NoRights, rules, sets};
use crate::auth::Identity;
use crate::auth::rules::{ChannelRule, Taken};
use crate::event::{Channel, Position, Row, Value};
use crate::filter::{Binding, Chosen, Dialect, Filter};
use crate::protocol::{Code, Problem};

/// What may be done on a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Subscribe,
    Publish,
    Presence,
}

impl Act {
    fn of(self, rule: &ChannelRule) -> Option<&Filter> {
        match self {
            Self::Subscribe => rule.subscribe.as_ref(),
            Self::Publish => rule.publish.as_ref(),
            Self::Presence => rule.presence.as_ref().or(rule.subscribe.as_ref()),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Subscribe => "follow",
            Self::Publish => "send to",
            Self::Presence => "see who is on, or be seen on,",
        }
    }
}

/// Whether it may send messages to a room, or say something on a NOTIFY channel.
pub async fn may_publish(node: &Node, identity: &Identity, channel: &Channel) -> Result<(), Problem> {
    on_channel(node, identity, channel, Act::Publish, None).await.map(|_| ()).map_err(Problem::from)
}

/// Whether it may see who is on a channel.
pub async fn may_watch(node: &Node, identity: &Identity, channel: &Channel) -> Result<(), Problem> {
    on_channel(node, identity, channel, Act::Presence, None).await.map(|_| ()).map_err(Problem::from)
}

/// Whether it may see and change how the gateway itself is.
pub fn may_administer(node: &Node, identity: &Identity) -> Result<(), Problem> {
    known(identity)?;
    match rules(node, identity) {
        Some(auth) if !auth.rules.is_admin(identity) => {
            Err(Problem::new(Code::Forbidden, "this is for administrators")
                .hint("`auth.admin` in the configuration says who is one"))
        }
        _ => Ok(()),
    }
}

/// Whether a client may do something on a channel, as of a position, and what that depends on.
pub(super) async fn on_channel(
    node: &Node,
    identity: &Identity,
    channel: &Channel,
    act: Act,
    at: Option<Position>,
) -> Result<Vec<Arc<Set>>, NoRights> {
    known(identity)?;
    let Some(auth) = rules(node, identity) else { return Ok(Vec::new()) };
    let name = match channel {
        // Whoever may see a table's rows may see who looks at them.
        Channel::Table(name) if act == Act::Presence => {
            let rule =
                auth.rules.table(name, identity, node.database.store.dialect()).filter(|rule| rule.read.is_some());
            return rule.map(|_| Vec::new()).ok_or_else(|| super::rights::hidden(name).into());
        }
        channel => channel.as_said(),
    };
    let refused = || {
        let message = format!("you may not {} `{name}`", act.word());
        NoRights::from(Problem::new(Code::Forbidden, message))
    };
    let (rule, taken) = auth.rules.channel(&name, identity).ok_or_else(refused)?;
    let filter = act.of(rule).ok_or_else(refused)?;
    let sets = sets(node, filter, &identity.claims, at).await?;
    let chosen: Vec<Chosen> = sets.iter().map(|set| as_texts(set.chosen())).collect();
    if is_true(filter, &taken, identity, &chosen) { Ok(sets) } else { Err(refused()) }
}

/// Whether a client may follow an application's own event, beside reading its table: only a rule about such channels forbids it.
pub(super) fn allowed_event(node: &Node, identity: &Identity, name: &str) -> Result<(), Problem> {
    let Some(auth) = rules(node, identity) else { return Ok(()) };
    let channel = Channel::Event(name.into()).to_string();
    let Some((rule, taken)) = auth.rules.channel(&channel, identity) else { return Ok(()) };
    let is_allowed = rule.subscribe.as_ref().is_some_and(|filter| is_true(filter, &taken, identity, &[]));
    match is_allowed {
        true => Ok(()),
        false => Err(Problem::new(Code::Forbidden, format!("you may not follow `{channel}`"))),
    }
}

/// What a channel's name is made of are texts.
fn as_texts(chosen: Chosen) -> Chosen {
    let text = |value: &Json| match value {
        Json::Null | Json::String(_) => value.clone(),
        other => Json::String(other.to_string()),
    };
    Chosen { values: chosen.values.iter().map(text).collect(), ..chosen }
}

fn is_true(filter: &Filter, taken: &Taken, identity: &Identity, chosen: &[Chosen]) -> bool {
    let (table, claims) = (&taken.table, &identity.claims);
    let binding = Binding { table, dialect: Dialect::Sqlite, claims, readable: None, chosen };
    let row: Row = taken.values.iter().map(|value| Value::Text(value.as_str().into())).collect::<Vec<_>>().into();
    match filter.bind_with(binding) {
        Ok(predicate) => predicate.matches(&row),
        Err(error) => {
            tracing::error!("a rule about channels cannot be decided: {error}");
            false
        }
    }
}

impl Session {
    /// Another token, with other claims perhaps: every subscription is looked at again.
    pub(super) fn identity_changed(&mut self) {
        let identity = self.identity.clone();
        let all: Vec<_> = self.subscriptions.iter().map(|(key, s)| (*key, s.wish.clone())).collect();
        for (key, wish) in all {
            *wish.identity.lock() = identity.clone();
            self.look_again(key);
        }
        self.tracks_of_another();
    }
}
