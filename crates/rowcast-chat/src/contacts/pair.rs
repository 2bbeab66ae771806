//! How two people stand to each other: each has a row of their own about the other.

use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::Set;

use crate::change::{Change, ONE, Rows};
use crate::house::House;
use crate::problems;
use crate::records::Record;

/// What one thinks of the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum State {
    /// There is no row.
    Absent,
    /// Known, and nothing more.
    None,
    /// Somebody has asked: the id of who did.
    Pending(String),
    Accepted,
    Blocked,
}

/// What one person has of another.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pub(crate) owner: String,
    pub(crate) contact: String,
    pub(crate) state: State,
    /// What a block has taken the place of.
    pub(crate) before: Option<State>,
}

/// Both sides.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) mine: Side,
    pub(crate) theirs: Side,
}

/// What becomes of both where one turns to the other: by a message, or by adding.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing: they have settled it, or one of them has asked already.
    Nothing,
    /// It is asked.
    Asks,
    /// It is answered, and both have accepted.
    Answers,
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Absent | Self::None => "none",
            Self::Pending(_) => "pending",
            Self::Accepted => "accepted",
            Self::Blocked => "blocked",
        }
    }

    fn of(name: &str, requested_by: Option<&str>) -> Self {
        match (name, requested_by) {
            ("pending", Some(by)) => Self::Pending(by.to_owned()),
            ("accepted", _) => Self::Accepted,
            ("blocked", _) => Self::Blocked,
            _ => Self::None,
        }
    }

    fn requested_by(&self) -> Value {
        match self {
            Self::Pending(by) => Value::Text(by.as_str().into()),
            _ => Value::Null,
        }
    }
}

impl Side {
    fn absent(owner: &str, contact: &str) -> Self {
        Self { owner: owner.to_owned(), contact: contact.to_owned(), state: State::Absent, before: None }
    }

    fn read(&mut self, row: &Record) {
        let by = row.text("requested_by");
        self.state = State::of(row.text("state").unwrap_or_default(), by);
        self.before = row.text("before").map(|before| State::of(before, by));
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.state == State::Blocked
    }

    /// The row, as it was read.
    fn rows(&self) -> Rows {
        let (by, filter) = match &self.state {
            State::Pending(by) => (
                by.as_str(),
                "owner = claims.owner and contact = claims.contact and state = claims.state and requested_by = claims.by",
            ),
            _ => ("", "owner = claims.owner and contact = claims.contact and state = claims.state"),
        };
        let bound = [
            ("owner", self.owner.as_str().into()),
            ("contact", self.contact.as_str().into()),
            ("state", self.state.name().into()),
            ("by", by.into()),
        ];
        Rows::new("chat_contacts", filter, &bound)
    }
}

impl Pair {
    /// Nobody can talk where one of the two does not want it.
    pub(crate) fn may_talk(&self) -> Result<(), Problem> {
        if self.mine.is_blocked() {
            let problem = problems::conflict("you have blocked this person");
            return Err(problem.hint("unblock them first"));
        }
        if self.theirs.is_blocked() {
            return Err(problems::forbidden("this person does not take messages from you"));
        }
        Ok(())
    }

    /// What it means that I turn to them.
    pub(crate) fn turn(&self) -> Turn {
        let me = &self.mine.owner;
        match (&self.mine.state, &self.theirs.state) {
            (State::Accepted, State::Accepted) => Turn::Nothing,
            (State::Pending(a), State::Pending(b)) if a == b && a == me => Turn::Nothing,
            (State::Pending(a), State::Pending(b)) if a == b => Turn::Answers,
            _ => Turn::Asks,
        }
    }

    /// How both stand after it; `None`: as before.
    pub(crate) fn after(&self, turn: &Turn) -> Option<State> {
        match turn {
            Turn::Nothing => None,
            Turn::Asks => Some(State::Pending(self.mine.owner.clone())),
            Turn::Answers => Some(State::Accepted),
        }
    }

    /// Both sides, the same way round for either of them: so two who do it at once wait for each other, and neither is undone.
    pub(crate) fn in_order(&self) -> [&Side; 2] {
        if self.mine.owner <= self.theirs.owner { [&self.mine, &self.theirs] } else { [&self.theirs, &self.mine] }
    }
}

impl House {
    /// How two people stand to each other now.
    pub(crate) async fn pair(&self, me: &str, them: &str) -> Result<Pair, Refusal> {
        let filter = "(owner = claims.me and contact = claims.them) or (owner = claims.them and contact = claims.me)";
        let rows = self.find("chat_contacts", filter, &[("me", me.into()), ("them", them.into())]).await?;
        let mut pair = Pair { mine: Side::absent(me, them), theirs: Side::absent(them, me) };
        for row in &rows {
            let side = if row.text("owner") == Some(me) { &mut pair.mine } else { &mut pair.theirs };
            side.read(row);
        }
        Ok(pair)
    }

    /// Both as they are settled between most who talk: what is not so is found out at the commit.
    pub(crate) fn settled_pair(me: &str, them: &str) -> Pair {
        let side = |owner, contact| Side { state: State::Accepted, ..Side::absent(owner, contact) };
        Pair { mine: side(me, them), theirs: side(them, me) }
    }
}

impl Change<'_> {
    /// A side has to be as it was read. One that is not there cannot be held.
    pub(crate) async fn hold(&mut self, side: &Side) -> Result<(), Problem> {
        if side.state != State::Absent {
            self.require(side.rows(), ONE).await?;
        }
        Ok(())
    }

    /// A side becomes another. Returns the number of the write.
    pub(crate) async fn stand(&mut self, side: &Side, state: &State, before: Option<&State>) -> Result<usize, Problem> {
        let (write, now) = (self.next(), self.now());
        let text = |text: &str| Value::Text(text.into());
        let before = before.map_or(Value::Null, |before| text(before.name()));
        // Who has asked is kept under a block, for the time after it.
        let requested_by = (*state != State::Blocked).then(|| state.requested_by());
        if side.state == State::Absent {
            let mut cells = vec![
                ("owner", text(&side.owner)),
                ("contact", text(&side.contact)),
                ("state", text(state.name())),
                ("before", before),
                ("created_at", now.clone()),
                ("changed_at", now),
            ];
            cells.extend(requested_by.map(|by| ("requested_by", by)));
            self.insert("chat_contacts", cells).await?;
        } else {
            let mut set = vec![
                ("state", Set::Value(text(state.name()))),
                ("before", Set::Value(before)),
                ("changed_at", Set::Value(now)),
            ];
            set.extend(requested_by.map(|by| ("requested_by", Set::Value(by))));
            self.update(side.rows(), set, ONE).await?;
        }
        Ok(write)
    }

    /// A side is gone.
    pub(crate) async fn forget(&mut self, side: &Side) -> Result<(), Problem> {
        self.delete(side.rows(), ONE).await.map(drop)
    }

    /// Both stand as somebody's turning to the other leaves them.
    pub(crate) async fn turn(&mut self, pair: &Pair) -> Result<(), Problem> {
        let after = pair.after(&pair.turn());
        for side in pair.in_order() {
            match &after {
                None => self.hold(side).await?,
                Some(state) => drop(self.stand(side, state, None).await?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(mine: State, theirs: State) -> Pair {
        let mut pair = House::settled_pair("me", "them");
        (pair.mine.state, pair.theirs.state) = (mine, theirs);
        pair
    }

    #[track_caller]
    fn check(mine: State, theirs: State, turn: Turn) {
        assert_eq!(pair(mine, theirs).turn(), turn);
    }

    fn asked_by(who: &str) -> State {
        State::Pending(who.into())
    }

    #[test]
    fn who_turns_to_somebody_asks_or_answers() {
        check(State::Absent, State::Absent, Turn::Asks);
        check(State::None, State::Absent, Turn::Asks);
        check(State::None, State::None, Turn::Asks);
        check(asked_by("me"), asked_by("me"), Turn::Nothing);
        check(asked_by("them"), asked_by("them"), Turn::Answers);
        check(State::Accepted, State::Accepted, Turn::Nothing);
        check(State::Accepted, State::None, Turn::Asks);
    }

    #[test]
    fn a_block_of_either_side_ends_the_talk() {
        let code = |pair: Pair| pair.may_talk().map_err(|problem| problem.code);
        use rowcast::protocol::Code::{Conflict, Forbidden};
        assert_eq!(code(pair(State::Accepted, State::Accepted)), Ok(()));
        assert_eq!(code(pair(State::Blocked, State::Accepted)), Err(Conflict));
        assert_eq!(code(pair(State::Accepted, State::Blocked)), Err(Forbidden));
        // What one has done oneself is said first.
        assert_eq!(code(pair(State::Blocked, State::Blocked)), Err(Conflict));
    }
}
