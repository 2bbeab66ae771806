//! Files that nobody has a use for: not sent yet, replaced, or left by a process that ended in the middle.
//!
//! Each is noted in `chat_orphans` before its bytes are there, until it has a use; and again before it has none any more, until its bytes
//! are gone. So whatever is interrupted, a sweep finds it there. It looks at what is noted alone, and whether that is true.

use std::sync::Arc;
use std::time::SystemTime;

use rowcast::event::Value;
use rowcast::gateway::Refusal;
use rowcast::protocol::Problem;
use rowcast::store::{ANY_NUMBER, Conflict, Insert, OrderBy, Select, Set};

use crate::change::{Broken, Change, ONE, Rows};
use crate::clock::millis;
use crate::house::{House, Shared};
use crate::problems;
use crate::records::{Record, text, text_or_null};

/// So many are looked at in one sweep; the next one goes on.
const SWEPT_MAX: u64 = 1_000;

/// Of the time between sweeps, the part before the first one: who is restarted often sweeps, too.
const FIRST: u32 = 60;

/// The notes of files.
fn noted(file: &str) -> Rows {
    Rows::new("chat_orphans", "file = claims.file", &[("file", file.into())])
}

impl House {
    /// Notes files that nobody has a use for yet, or soon.
    pub(crate) async fn note_orphans(&self, files: &[String]) -> Result<(), Problem> {
        if files.is_empty() {
            return Ok(());
        }
        let table = self.table("chat_orphans").await?;
        let since = Value::Int(millis(SystemTime::now()));
        let rows = files.iter().map(|file| self.cells(&table, [("file", text(file)), ("since", since.clone())]));
        let insert = Insert {
            rows: rows.collect::<Result<_, _>>()?,
            conflict: Conflict::Update(Vec::new()),
            ..Insert::new(table, Vec::new())
        };
        self.store.insert(insert).await.map(drop).map_err(problems::of_store)
    }

    /// Removes the bytes of files whose rows are gone, in its own time.
    pub(crate) fn forget(self: &Shared, files: Vec<String>) {
        if files.is_empty() {
            return;
        }
        let house = self.clone();
        tokio::spawn(async move {
            for file in files {
                house.remove_bytes(&file).await;
            }
        });
    }

    /// What cannot be removed now stays noted.
    async fn remove_bytes(&self, file: &str) {
        if !self.files.remove(file).await {
            return;
        }
        let mut change = self.change();
        let forgotten = match change.delete(noted(file), ANY_NUMBER).await {
            Ok(_) => change.commit().await.is_ok(),
            Err(_) => false,
        };
        if !forgotten {
            tracing::debug!("a file that is gone is still noted: the next sweep sees that it is");
        }
    }

    /// Sweeps for as long as anybody has the house.
    pub(crate) fn sweep_now_and_then(self: &Shared) {
        let (house, every) = (Arc::downgrade(self), self.settings.sweep_every);
        tokio::spawn(async move {
            let mut pause = every / FIRST;
            loop {
                tokio::time::sleep(pause).await;
                pause = every;
                let Some(house) = house.upgrade() else { return };
                match house.sweep().await {
                    Ok(0) => {}
                    Ok(swept) => tracing::info!(swept, "files that nobody had a use for were removed"),
                    Err(Refusal(problem)) => tracing::warn!("files without use stay until the next sweep: {problem}"),
                }
            }
        });
    }

    /// Removes files that were noted long enough ago and have no use, a bounded number. Returns how many.
    async fn sweep(&self) -> Result<u64, Refusal> {
        self.stepped().await?;
        let table = self.table("chat_orphans").await?;
        let old = SystemTime::now().checked_sub(self.settings.sweep_after).map_or(0, millis);
        let filter = Some(self.condition(&table, "since <= claims.old", &[("old", old.into())])?);
        let order_by = vec![OrderBy { column: self.column(&table, "since")?, descending: false }];
        let select = Select { table, filter, order_by, limit: Some(SWEPT_MAX), offset: 0, role: None };
        let mut swept = 0;
        for orphan in self.read(select).await? {
            swept += u64::from(self.sweep_one(&orphan).await?);
        }
        Ok(swept)
    }

    /// Whether it was one.
    async fn sweep_one(&self, orphan: &Record) -> Result<bool, Refusal> {
        let (file, since) = (orphan.text("file").unwrap_or_default(), orphan.integer("since"));
        let as_read = Rows::new(
            "chat_orphans",
            "file = claims.file and since = claims.since",
            &[("file", file.into()), ("since", since.into())],
        );
        let row = Rows::new("chat_files", "id = claims.file", &[("file", file.into())]);
        if let Some(found) = self.find_rows(&row).await?.first() {
            let mut change = self.change();
            let has_use = self.has_use(file, found).await?;
            if has_use {
                change.delete(as_read, ANY_NUMBER).await?;
            } else {
                change.delete(row, ONE).await?;
                change
                    .uncount(found.text("owner").unwrap_or_default(), found.integer("bytes").unwrap_or_default())
                    .await?;
                // Whoever finds a use for it takes this away, or waits for the row and finds that it is gone.
                change.claim(as_read).await?;
            }
            match change.commit().await {
                Ok(_) if !has_use => {}
                Ok(_) | Err(Broken::Moved) => return Ok(false),
                Err(Broken::Refused(problem)) => return Err(problem.into()),
            }
        }
        self.remove_bytes(file).await;
        Ok(true)
    }

    /// Whether a message, a person or a group shows it.
    async fn has_use(&self, file: &str, row: &Record) -> Result<bool, Refusal> {
        let owner = row.text("owner").unwrap_or_default();
        let uses: &[(&'static str, &'static str)] = match row.text("room") {
            Some(_) => &[("chat_messages", "room = claims.room and file = claims.file")],
            None => &[
                ("chat_profiles", "id = claims.owner and picture = claims.file"),
                ("chat_members", "user_id = claims.owner and picture = claims.file"),
                ("chat_rooms", "picture = claims.file"),
            ],
        };
        let bound = [("file", file.into()), ("owner", owner.into()), ("room", row.text("room").into())];
        for (table, filter) in uses {
            if !self.find(table, filter, &bound).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Change<'_> {
    /// A file gets a use: no sweep that comes later removes it.
    pub(crate) async fn adopt(&mut self, file: &str) -> Result<(), Problem> {
        self.delete(noted(file), ANY_NUMBER).await.map(drop)
    }

    /// A file loses one.
    pub(crate) async fn orphan(&mut self, file: &str) -> Result<(), Problem> {
        let cells = vec![("file", text(file)), ("since", Value::Int(millis(SystemTime::now())))];
        // Noted anew where it is noted: a sweep that has just found the use before leaves it.
        self.put("chat_orphans", cells).await.map(drop)
    }

    /// A file that was noted before its bytes were written is there, and noted from now on.
    pub(super) async fn arrive(&mut self, file: &str) -> Result<(), Problem> {
        let since = vec![("since", Set::Value(Value::Int(millis(SystemTime::now()))))];
        self.update(noted(file), since, ONE).await?.or(problems::bad("the file took too long to come"));
        Ok(())
    }

    /// A person or a group gets another picture, one that `me` has sent, or none. Where it is none of theirs, that is `not_mine`.
    pub(crate) async fn show(
        &mut self,
        table: &'static str,
        id: &str,
        me: &str,
        picture: Option<&str>,
        not_mine: Problem,
    ) -> Result<(), Broken> {
        let rows = self.house().find(table, "id = claims.id", &[("id", id.into())]).await?;
        let before = rows.first().and_then(|row| row.text("picture"));
        if before == picture {
            return Ok(());
        }
        if let Some(picture) = picture {
            let filter = "id = claims.id and owner = claims.me and room is null and type like 'image/%'";
            let own = Rows::new("chat_files", filter, &[("id", picture.into()), ("me", me.into())]);
            self.require(own, ONE).await?.or(not_mine);
            self.adopt(picture).await?;
        }
        let as_read = match before {
            Some(_) => "id = claims.id and picture = claims.before",
            None => "id = claims.id and picture is null",
        };
        let bound = [("id", id.into()), ("before", before.into())];
        self.update(Rows::new(table, as_read, &bound), vec![("picture", Set::Value(text_or_null(picture)))], ONE)
            .await?;
        if let Some(before) = before {
            self.orphan(before).await?;
        }
        Ok(())
    }
}
