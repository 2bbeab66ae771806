//! Who may come into a talk, and how they are called in it.

use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{ANY_NUMBER, Set};
use serde_json::Value as Json;

use super::talk::{Talk, member, nowhere};
use crate::change::{Broken, Change, ONE, Rows};
use crate::house::House;
use crate::messages::event::Who;
use crate::problems;
use crate::records::Record;

/// The most members of a group.
pub(crate) const MEMBERS_MAX: usize = 256;

/// Somebody in a talk.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) who: Who,
    pub(crate) role: String,
    pub(crate) joined_at: String,
}

impl Member {
    pub(crate) fn of(row: &Record) -> Self {
        let text = |name| row.text(name).unwrap_or_default().to_owned();
        let who = Who { id: text("user_id"), name: text("name"), picture: row.text("picture").map(str::to_owned) };
        Self { who, role: text("role"), joined_at: text("joined_at") }
    }

    /// Whether it may change the group.
    pub(crate) fn leads(&self) -> bool {
        matches!(&*self.role, "owner" | "admin")
    }

    pub(crate) fn owns(&self) -> bool {
        self.role == "owner"
    }
}

impl House {
    /// People as they call themselves. Who is not there is left out.
    pub(crate) async fn people(&self, ids: &[&str]) -> Result<Vec<Who>, Refusal> {
        let rows = self.find("chat_profiles", "id in claims.ids", &[("ids", ids.into())]).await?;
        let text = |row: &Record, name| row.text(name).unwrap_or_default().to_owned();
        let who = |row: &Record| Who {
            id: text(row, "id"),
            name: text(row, "name"),
            picture: row.text("picture").map(str::to_owned),
        };
        Ok(rows.iter().map(who).collect())
    }

    /// Me in a talk. Whoever is not in it is told that there is none.
    pub(crate) async fn own_member(&self, talk: &Talk, me: &str) -> Result<Member, Refusal> {
        let rows = self.find_rows(&member(&talk.id, me)).await?;
        Ok(rows.first().map(Member::of).ok_or_else(nowhere)?)
    }
}

impl Change<'_> {
    /// A talk without anybody in it. Returns the number of the write.
    pub(crate) async fn make(
        &mut self,
        talk: &Talk,
        kind: &str,
        name: Option<&str>,
        by: &str,
    ) -> Result<usize, Problem> {
        let (write, now) = (self.next(), self.now());
        let text = |text: &str| Value::Text(text.into());
        let mut cells = vec![
            ("id", text(&talk.id)),
            ("kind", text(kind)),
            ("created_by", text(by)),
            ("created_at", now.clone()),
            ("last_at", now),
        ];
        cells.extend(name.map(|name| ("name", text(name))));
        self.insert("chat_rooms", cells).await?;
        Ok(write)
    }

    /// Somebody comes into a talk, called as in the profile: which stays so until the commit.
    pub(crate) async fn join(&mut self, talk: &Talk, who: &Who, role: &str) -> Result<(), Problem> {
        let text = |text: &str| Value::Text(text.into());
        let bound = [("id", who.id.as_str().into()), ("name", who.name.as_str().into())];
        self.require(Rows::new("chat_profiles", "id = claims.id and name = claims.name", &bound), ONE).await?;
        let mut cells = vec![
            ("room", text(&talk.id)),
            ("user_id", text(&who.id)),
            ("role", text(role)),
            ("name", text(&who.name)),
            ("joined_at", self.now()),
        ];
        cells.extend(who.picture.as_deref().map(|picture| ("picture", text(picture))));
        self.insert("chat_members", cells).await?;
        let cells = vec![("room", text(&talk.id)), ("user_id", text(&who.id))];
        self.insert("chat_receipts", cells).await?;
        Ok(())
    }

    /// All of these have accepted me, and I them: so nobody is among them who has blocked me.
    pub(crate) async fn require_contacts(&mut self, me: &str, them: &[String]) -> Result<(), Problem> {
        let problem =
            || problems::forbidden("only people who have accepted you, and you them, can be added to a group");
        for filter in [
            "owner = claims.me and state = 'accepted' and contact in claims.them",
            "contact = claims.me and state = 'accepted' and owner in claims.them",
        ] {
            let bound: [(&str, Json); 2] = [("me", me.into()), ("them", them.into())];
            let count = them.len() as u64;
            self.require(Rows::new("chat_contacts", filter, &bound), count..=count).await?.or(problem());
        }
        Ok(())
    }

    /// I am an owner or admin of the talk, and stay it until the commit.
    pub(crate) async fn require_leader(&mut self, talk: &Talk, me: &str) -> Result<Who, Broken> {
        let mine = self.house().own_member(talk, me).await?;
        if !mine.leads() {
            return Err(problems::forbidden("only owners and admins of the group may do this").into());
        }
        self.hold_role(talk, &mine).await?;
        Ok(mine.who)
    }

    /// A member keeps the role that was read.
    pub(crate) async fn hold_role(&mut self, talk: &Talk, member: &Member) -> Result<(), Problem> {
        self.require(as_read(talk, member), ONE).await.map(drop)
    }

    /// A member gets another role.
    pub(crate) async fn set_role(&mut self, talk: &Talk, member: &Member, role: &str) -> Result<(), Problem> {
        let set = vec![("role", Set::Value(Value::Text(role.into())))];
        self.update(as_read(talk, member), set, ONE).await.map(drop)
    }

    /// A member goes, and what the talk kept for them.
    pub(crate) async fn part(&mut self, talk: &Talk, member: &Member) -> Result<(), Problem> {
        self.delete(as_read(talk, member), ONE).await?;
        let bound: [(&str, Json); 2] = [("room", (*talk.id).into()), ("user", member.who.id.as_str().into())];
        let receipt = Rows::new("chat_receipts", "room = claims.room and user_id = claims.user", &bound);
        self.delete(receipt, ANY_NUMBER).await.map(drop)
    }
}

fn as_read(talk: &Talk, member: &Member) -> Rows {
    let bound: [(&str, Json); 3] =
        [("room", (*talk.id).into()), ("user", member.who.id.as_str().into()), ("role", member.role.as_str().into())];
    Rows::new("chat_members", "room = claims.room and user_id = claims.user and role = claims.role", &bound)
}
