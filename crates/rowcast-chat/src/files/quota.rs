//! How much somebody stores: counted with the account, in the same transaction as each file.

use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::{Code, Problem};
use rowcast::store::{ANY_NUMBER, Set};

use crate::change::{Broken, Change, ONE, Rows, decided};
use crate::house::House;

/// What somebody may store yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    pub(super) bytes: u64,
    quota: u64,
}

impl Left {
    /// Said where a file needs more.
    pub(super) fn exceeded(self) -> Problem {
        let Self { bytes, quota } = self;
        let message = format!("all your files may have {quota} bytes: {bytes} bytes are left, and this one needs more");
        Problem::new(Code::TooLarge, message).hint("delete messages with files that nobody needs any more")
    }
}

impl House {
    /// `None`: as much as there is room for.
    pub(super) async fn left(&self, user: &str) -> Result<Option<Left>, Refusal> {
        let quota = self.settings.quota;
        if quota == 0 {
            return Ok(None);
        }
        let stored = decided(|| self.stored(user)).await?;
        Ok(Some(Left { bytes: quota.saturating_sub(stored), quota }))
    }

    /// The bytes of somebody's files. Where the account is of an earlier version, they are counted now.
    async fn stored(&self, user: &str) -> Result<u64, Broken> {
        let rows = self.find_rows(&account_of(user)).await?;
        if let Some(stored) = rows.first().and_then(|row| row.integer("stored")) {
            return Ok(u64::try_from(stored).unwrap_or_default());
        }
        let own = Rows::new("chat_files", "owner = claims.user", &[("user", user.into())]);
        let files = self.find_rows(&own).await?;
        let (count, stored) = (files.len() as u64, files.iter().filter_map(|row| row.integer("bytes")).sum::<i64>());
        let mut change = self.change();
        // The account first: whoever adds a file waits for it.
        let uncounted =
            Rows::new("chat_accounts", "user_id = claims.user and stored is null", &[("user", user.into())]);
        change.update(uncounted, vec![("stored", Set::Value(Value::Int(stored)))], ONE).await?;
        change.require(own, count..=count).await?;
        change.commit().await?;
        Ok(u64::try_from(stored).unwrap_or_default())
    }
}

fn account_of(user: &str) -> Rows {
    Rows::new("chat_accounts", "user_id = claims.user", &[("user", user.into())])
}

impl Change<'_> {
    /// So many bytes more. Where others have used up meanwhile what was left, the matter is decided anew.
    pub(super) async fn count(&mut self, user: &str, bytes: u64, left: Option<Left>) -> Result<(), Broken> {
        let more = i64::try_from(bytes).unwrap_or(i64::MAX);
        let account = match left {
            None => account_of(user),
            Some(left) if bytes > left.bytes => return Err(left.exceeded().into()),
            Some(left) => {
                let most = i64::try_from(left.quota - bytes).unwrap_or(i64::MAX);
                let bound = [("user", user.into()), ("most", most.into())];
                Rows::new("chat_accounts", "user_id = claims.user and stored <= claims.most", &bound)
            }
        };
        self.update(account, vec![("stored", Set::Add(Value::Int(more)))], ONE).await?;
        Ok(())
    }

    /// So many bytes fewer.
    pub(crate) async fn uncount(&mut self, user: &str, bytes: i64) -> Result<(), Problem> {
        let fewer = vec![("stored", Set::Add(Value::Int(-bytes)))];
        self.update(account_of(user), fewer, ANY_NUMBER).await.map(drop)
    }
}
