//! Leaving a group, by oneself or by others. A group has an owner as long as it has members, and goes with the last of them.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use rowcast::gateway::Refusal;
use rowcast::store::ANY_NUMBER;

use super::people::Member;
use super::talk::{Talk, room};
use crate::change::{Broken, Change, ONE, Rows, decided};
use crate::contacts::nobody;
use crate::house::{House, Shared};
use crate::messages::event::Event;
use crate::person::Person;
use crate::problems;

/// What a group leaves behind.
const OF_A_ROOM: [&str; 5] = ["chat_reactions", "chat_receipts", "chat_files", "chat_messages", "chat_members"];

/// `DELETE /rooms/{id}/members/{user}`
pub(crate) async fn leave(
    State(house): State<Shared>,
    Person(me): Person,
    Path((id, user)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let files = decided(|| once(&house, &me, &id, &user)).await?;
    house.forget(files);
    Ok(StatusCode::NO_CONTENT)
}

/// Returns the files that nobody has any more.
async fn once(house: &House, me: &str, id: &str, user: &str) -> Result<Vec<String>, Broken> {
    let talk = house.talk(id).await?;
    let mine = house.own_member(&talk, me).await?;
    talk.group()?;
    let all = house.members(&talk).await?;
    let theirs = all.iter().find(|member| member.who.id == user).ok_or_else(nobody)?;
    let by_self = user == me;
    if !by_self && !may_remove(&mine, theirs) {
        let who = if mine.leads() { "owners" } else { "owners and admins" };
        return Err(problems::forbidden(format!("only {who} of the group may do this")).into());
    }
    let mut change = house.change();
    change.claim_talk(&talk).await?;
    if all.len() == 1 {
        return change.end(house, &talk, &mine).await;
    }
    change.part(&talk, theirs).await?;
    if !by_self {
        change.hold_role(&talk, &mine).await?;
        change.tell(&talk, me, &theirs.who, &Event::Removed { by: &mine.who }).await?;
    } else {
        change.tell(&talk, me, &mine.who, &Event::Left).await?;
        let rest: Vec<&Member> = all.iter().filter(|member| member.who.id != me).collect();
        match rest.iter().find(|member| member.owns()) {
            _ if !mine.owns() => {}
            Some(owner) => change.hold_role(&talk, owner).await?,
            None => change.hand_over(&talk, &rest).await?,
        }
    }
    change.commit().await?;
    Ok(Vec::new())
}

fn may_remove(me: &Member, them: &Member) -> bool {
    me.owns() || (me.leads() && !them.leads())
}

/// Who comes after the last owner: the admin who has been there longest, or else the member.
fn heir<'m>(rest: &[&'m Member]) -> Option<&'m Member> {
    rest.iter().copied().min_by_key(|member| (!member.leads(), member.joined_at.clone(), member.who.id.clone()))
}

impl Change<'_> {
    async fn hand_over(&mut self, talk: &Talk, rest: &[&Member]) -> Result<(), Broken> {
        let Some(heir) = heir(rest) else { return Ok(()) };
        self.set_role(talk, heir, "owner").await?;
        let event = Event::Role { role: "owner", by: &heir.who };
        self.tell(talk, &heir.who.id, &heir.who, &event).await?;
        Ok(())
    }

    /// The last one goes, and all of it.
    async fn end(mut self, house: &House, talk: &Talk, last: &Member) -> Result<Vec<String>, Broken> {
        let files = house.find("chat_files", "room = claims.room", &[("room", (*talk.id).into())]).await?;
        let ids: Vec<String> = files.iter().filter_map(|row| row.text("id").map(str::to_owned)).collect();
        house.note_orphans(&ids).await?;
        self.hold_role(talk, last).await?;
        for table in OF_A_ROOM {
            let rows = Rows::new(table, "room = claims.room", &[("room", (*talk.id).into())]);
            let expect = match table {
                "chat_members" => ONE,
                "chat_files" => ids.len() as u64..=ids.len() as u64,
                _ => ANY_NUMBER,
            };
            self.delete(rows, expect).await?;
        }
        let mut stored: BTreeMap<&str, i64> = BTreeMap::new();
        for file in &files {
            *stored.entry(file.text("owner").unwrap_or_default()).or_default() +=
                file.integer("bytes").unwrap_or_default();
        }
        for (owner, bytes) in stored {
            self.uncount(owner, bytes).await?;
        }
        self.delete(room(&talk.id), ONE).await?;
        self.commit().await?;
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::event::Who;

    fn member(id: &str, role: &str, joined_at: &str) -> Member {
        let who = Who { id: id.into(), name: id.into(), picture: None };
        Member { who, role: role.into(), joined_at: joined_at.into() }
    }

    #[test]
    fn the_eldest_admin_or_else_the_eldest_member_comes_after_the_last_owner() {
        let (old, admin, young) = (member("a", "member", "1"), member("b", "admin", "3"), member("c", "admin", "2"));
        assert_eq!(heir(&[&old, &admin, &young]).map(|heir| &*heir.who.id), Some("c"));
        let late = member("d", "member", "9");
        assert_eq!(heir(&[&late, &old]).map(|heir| &*heir.who.id), Some("a"));
        assert!(heir(&[]).is_none());
    }

    #[test]
    fn admins_remove_members_and_owners_everybody() {
        let (owner, admin, plain) = (member("a", "owner", "1"), member("b", "admin", "1"), member("c", "member", "1"));
        assert!(may_remove(&owner, &admin) && may_remove(&owner, &owner) && may_remove(&admin, &plain));
        assert!(!may_remove(&admin, &owner) && !may_remove(&admin, &admin) && !may_remove(&plain, &plain));
    }
}
