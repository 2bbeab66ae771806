//! A talk as those who write in it need to know it.

use std::sync::Arc;

use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use serde_json::Value as Json;

use crate::change::{Change, ONE, Rows};
use crate::house::House;
use crate::records::Record;
use crate::{problems, words};

/// What kind of a talk it is, which it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Between two, for ever.
    Direct([Arc<str>; 2]),
    Group,
}

/// A talk.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    pub(crate) id: Arc<str>,
    pub(crate) kind: Kind,
}

impl Talk {
    /// With whom I am in a direct talk. Whoever is not in it is told that there is none.
    pub(crate) fn other(&self, me: &str) -> Result<Option<&Arc<str>>, Problem> {
        match &self.kind {
            Kind::Group => Ok(None),
            Kind::Direct([one, two]) if **one == *me => Ok(Some(two)),
            Kind::Direct([one, two]) if **two == *me => Ok(Some(one)),
            Kind::Direct(_) => Err(nowhere()),
        }
    }

    pub(crate) fn group(&self) -> Result<(), Problem> {
        match self.kind {
            Kind::Group => Ok(()),
            Kind::Direct(_) => Err(problems::conflict("this is a talk between two; only groups can be changed")),
        }
    }
}

/// Said of a talk that is not there, and of one that is not the asker's.
pub(crate) fn nowhere() -> Problem {
    problems::not_found("there is no such talk")
}

/// A talk's row.
pub(crate) fn room(id: &str) -> Rows {
    Rows::new("chat_rooms", "id = claims.room", &[("room", id.into())])
}

/// Who is in it.
pub(crate) fn members(room: &str) -> Rows {
    Rows::new("chat_members", "room = claims.room", &[("room", room.into())])
}

/// One who is in it.
pub(crate) fn member(room: &str, user: &str) -> Rows {
    let bound: [(&str, Json); 2] = [("room", room.into()), ("user", user.into())];
    Rows::new("chat_members", "room = claims.room and user_id = claims.user", &bound)
}

impl House {
    /// A talk, whoever is in it: nothing of it may be told before that is known.
    pub(crate) async fn talk(&self, id: &str) -> Result<Arc<Talk>, Refusal> {
        if let Some(talk) = self.talks.get(id) {
            return Ok(talk);
        }
        if !words::is_id(id) {
            return Err(nowhere().into());
        }
        let rows = self.find_rows(&room(id)).await?;
        let row = rows.first().ok_or_else(nowhere)?;
        let kind = match row.text("kind") {
            Some("direct") => {
                let members = self.find_rows(&members(id)).await?;
                let [one, two] = &members[..] else { return Err(nowhere().into()) };
                let id = |row: &Record| row.text("user_id").map(Arc::from).ok_or_else(nowhere);
                Kind::Direct([id(one)?, id(two)?])
            }
            _ => Kind::Group,
        };
        let talk = Arc::new(Talk { id: id.into(), kind });
        self.talks.put(talk.clone());
        Ok(talk)
    }
}

impl Change<'_> {
    /// Whoever writes in a talk has its row until the commit, so that the ids of its messages grow as they are committed.
    pub(crate) async fn claim_talk(&mut self, talk: &Talk) -> Result<(), Problem> {
        self.claim(room(&talk.id)).await?.or(nowhere());
        Ok(())
    }

    /// Who is not in the talk is told that there is none.
    pub(crate) async fn require_member(&mut self, talk: &Talk, user: &str) -> Result<(), Problem> {
        self.require(member(&talk.id, user), ONE).await?.or(nowhere());
        Ok(())
    }
}
