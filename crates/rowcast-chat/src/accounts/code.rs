//! One-time codes: six digits, good for ten minutes and for five attempts, kept as hashes.
//!
//! For an address that has no account there is one all the same, under an id that nobody has: what is done is the same, and takes as long.

use std::time::{Duration, SystemTime};

use rand::RngExt;
use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{Conflict, Set, StoreError, Write};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Account, wrong};
use crate::clock::millis;
use crate::house::House;
use crate::problems;

/// How long a code is good.
const LIFE: Duration = Duration::from_secs(10 * 60);

/// How often one may be guessed at.
const TRIES: i64 = 5;

/// What a code is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To show that an address is one's own.
    Verify,
    /// To choose another password.
    Reset,
}

impl Purpose {
    fn as_str(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }
}

/// Whose codes are those for an address: of its account, or of nobody.
pub(crate) fn whose(account: Option<&Account>, email: &str) -> String {
    let nobody = || Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("rowcast-chat:nobody:{email}").as_bytes()).to_string();
    account.map_or_else(nobody, |account| account.user.clone())
}

/// A code, and what keeps it.
pub(crate) struct Fresh {
    pub(crate) code: String,
    pub(crate) write: Write,
}

impl House {
    /// A new code, which takes an earlier one's place.
    pub(crate) async fn new_code(&self, user: &str, purpose: Purpose) -> Result<Fresh, Problem> {
        let code = format!("{:06}", rand::rng().random_range(0..1_000_000_u32));
        let table = self.table("chat_codes").await?;
        let expires = millis(SystemTime::now() + LIFE);
        let cells = self.cells(
            &table,
            [
                ("user_id", Value::Text(user.into())),
                ("purpose", Value::Text(purpose.as_str().into())),
                ("code_hash", Value::Text(hash(user, purpose, &code).into())),
                ("expires_at", Value::Int(expires)),
                ("tries", Value::Int(0)),
            ],
        )?;
        let write = Write::insert(table, cells).on_conflict(Conflict::Update(Vec::new())).expecting(0..=1);
        Ok(Fresh { code, write })
    }

    /// Counts an attempt, and tells what takes the code away if it was this one: nothing else may happen unless that does.
    pub(crate) async fn try_code(&self, user: &str, purpose: Purpose, code: &str) -> Result<Write, Refusal> {
        let table = self.table("chat_codes").await?;
        let (whose, what) = (("user", user.into()), ("purpose", purpose.as_str().into()));
        let bound = [whose, what, ("most", TRIES.into()), ("now", millis(SystemTime::now()).into())];
        let filter =
            "user_id = claims.user and purpose = claims.purpose and tries < claims.most and expires_at > claims.now";
        let live = self.condition(&table, filter, &bound)?;
        let tries = self.column(&table, "tries")?;
        // Before the code is looked at: a thousand guesses at once are five.
        let count = Write::update(table.clone(), Some(live), vec![(tries, Set::Add(Value::Int(1)))]).expecting(1..=1);
        match self.store.write(vec![count]).await {
            Err(StoreError::Unmet { .. }) => return Err(no_code().into()),
            counted => counted.map_err(problems::of_store)?,
        };
        let given = hash(user, purpose, code.trim());
        let rows = self.find("chat_codes", "user_id = claims.user and purpose = claims.purpose", &bound[..2]).await?;
        let kept = rows.first().and_then(|row| row.text("code_hash")).unwrap_or_default();
        if !is_same(kept.as_bytes(), given.as_bytes()) {
            return Err(no_code().into());
        }
        let bound = [bound[0].clone(), bound[1].clone(), ("hash", given.as_str().into())];
        let filter = "user_id = claims.user and purpose = claims.purpose and code_hash = claims.hash";
        let this = self.condition(&table, filter, &bound)?;
        Ok(Write::delete(table, Some(this)).expecting(1..=1))
    }

    /// What a code is good for, with what takes it away: once, also where it is shown twice at the same moment.
    pub(crate) async fn use_code(&self, writes: Vec<Write>) -> Result<(), Refusal> {
        match self.store.write(writes).await {
            Ok(_) => Ok(()),
            Err(StoreError::Unmet { .. }) => Err(no_code().into()),
            Err(error) => Err(problems::of_store(error).into()),
        }
    }

    /// Takes away the codes that have expired: those of nobody are used by nobody.
    pub(crate) async fn old_codes(&self) -> Result<Write, Problem> {
        let table = self.table("chat_codes").await?;
        let old = self.condition(&table, "expires_at < claims.now", &[("now", millis(SystemTime::now()).into())])?;
        Ok(Write::delete(table, Some(old)))
    }
}

pub(super) fn no_code() -> Problem {
    wrong("the code is wrong, or is no longer good").hint("ask for another one")
}

fn hash(user: &str, purpose: Purpose, code: &str) -> String {
    let digest = Sha256::digest(format!("{user} {} {code}", purpose.as_str()));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether two texts are the same, in a time that does not tell where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_held_against_each_other_whole() {
        let of = |code| hash("ann", Purpose::Verify, code);
        assert!(is_same(of("123456").as_bytes(), of("123456").as_bytes()));
        assert!(!is_same(of("123456").as_bytes(), of("123457").as_bytes()));
        assert!(!is_same(b"", of("123456").as_bytes()));
        assert_ne!(of("123456"), hash("ann", Purpose::Reset, "123456"));
        assert_ne!(of("123456"), hash("bob", Purpose::Verify, "123456"));
    }
}
