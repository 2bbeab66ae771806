//! Capture in a SQLite file, and what a change of it would do, tried on an empty database of the same schema.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rowcast::source::Source;
use rowcast::source::sqlite::{SqliteSettings, SqliteSource};
use rusqlite::{Connection, OpenFlags};

use super::Act;

/// A file whose capture is to be changed.
pub(super) struct File {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) settings: SqliteSettings,
}

impl File {
    pub(super) async fn act(&self, act: Act) -> anyhow::Result<Vec<String>> {
        act_on(&self.name, &self.path, self.settings.clone(), act).await
    }

    /// What [`File::act`] would do.
    pub(super) async fn rehearsed(&self, act: Act) -> anyhow::Result<Vec<String>> {
        if !self.path.exists() {
            bail!("there is no file {}", self.path.display());
        }
        let stage = tempfile::tempdir().context("no temporary folder")?;
        let copy = stage.path().join("schema.db");
        copy_schema(&self.path, &copy)
            .with_context(|| format!("the schema of {} cannot be read", self.path.display()))?;
        let settings = SqliteSettings { create: true, switch_to_wal: true, ..self.settings.clone() };
        act_on(&self.name, &copy, settings, act).await
    }
}

async fn act_on(name: &str, path: &Path, settings: SqliteSettings, act: Act) -> anyhow::Result<Vec<String>> {
    let mut source = SqliteSource::new(name, path, settings);
    let sql = match act {
        Act::Setup => source.setup().await?,
        Act::Teardown => source.teardown().await?,
    };
    Ok(sql)
}

/// Makes every table, index, view and trigger again, without the rows; Rowcast's own few rows tell what is installed.
fn copy_schema(from: &Path, to: &Path) -> anyhow::Result<()> {
    let from = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let to = Connection::open(to)?;
    let order = "case type when 'table' then 0 when 'index' then 1 when 'view' then 2 else 3 end";
    let mut schema =
        from.prepare(&format!("select name, sql from sqlite_schema where sql is not null order by {order}, rowid"))?;
    let mut rows = schema.query([])?;
    while let Some(row) = rows.next()? {
        let (name, sql): (String, String) = (row.get(0)?, row.get(1)?);
        // SQLite's own tables make themselves, and those of a module that is not here cannot be captured either.
        if let Err(error) = to.execute_batch(&sql) {
            tracing::debug!(name, %error, "left out of the rehearsal");
        }
    }
    drop(rows);
    copy_own_rows(&from, &to)
}

fn copy_own_rows(from: &Connection, to: &Connection) -> anyhow::Result<()> {
    let mut own = from.prepare(
        "select name from sqlite_schema where type = 'table' and name glob '_rowcast_*' and name not glob '*outbox*' \
         and name <> '_rowcast_keys'",
    )?;
    let names: Vec<String> = own.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    for name in names {
        let table = name.replace('"', "\"\"");
        let mut select = from.prepare(&format!("select * from \"{table}\""))?;
        let marks = vec!["?"; select.column_count()].join(",");
        let mut insert = to.prepare(&format!("insert or replace into \"{table}\" values ({marks})"))?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let values: Vec<rusqlite::types::Value> =
                (0..row.as_ref().column_count()).map(|index| row.get(index)).collect::<Result<_, _>>()?;
            insert.execute(rusqlite::params_from_iter(values))?;
        }
    }
    Ok(())
}
