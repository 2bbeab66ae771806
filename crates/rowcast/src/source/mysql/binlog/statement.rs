//! Statements in the binlog: which of them begin or end a transaction, and which change a table's shape.
//!
//! Only as much SQL as that needs. What cannot be read and might concern a table concerns all of them.

use super::bytes::{Bytes, Malformed, inflate};

/// A statement with the database in which it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) database: String,
    pub(super) sql: String,
}

/// What a statement means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    Begin,
    Commit,
    Rollback,
    /// A distributed transaction that was prepared before ends.
    XaCommit(String),
    XaRollback(String),
    /// Tables change their shape, or lose all rows: database and name of each, and what happened.
    Alters(Vec<(String, String)>, &'static str),
    /// All tables of a database may be others.
    AltersAll(String),
    /// Rows of a database are changed, and the binlog does not say which.
    Unseen(String),
    /// Nothing that concerns rows.
    Nothing,
}

impl Statement {
    /// From the inside of a query event (type 2), or of one that MariaDB compressed (165).
    pub(super) fn parse(body: &[u8], compressed: bool) -> Result<Self, Malformed> {
        let mut bytes = Bytes(body);
        bytes.take(8)?;
        let database = bytes.u8()?;
        bytes.u16()?;
        let variables = bytes.u16()?;
        bytes.take(variables.into())?;
        let database = String::from_utf8_lossy(bytes.take(database.into())?).into_owned();
        bytes.u8()?;
        let sql = if compressed { inflate(bytes.0, 1 << 30)?.into() } else { std::borrow::Cow::Borrowed(bytes.0) };
        // Where a shape may change is in the first part.
        let sql = String::from_utf8_lossy(&sql[..sql.len().min(1 << 20)]).into_owned();
        Ok(Self { database, sql })
    }

    pub(super) fn meaning(&self) -> Meaning {
        let mut words = Words::new(&self.sql);
        let first = words.word();
        match &*first {
            "begin" => Meaning::Begin,
            "commit" => Meaning::Commit,
            "rollback" => match &*words.word() {
                // To a savepoint: of what other engines wrote meanwhile.
                "to" | "work" => Meaning::Nothing,
                _ => Meaning::Rollback,
            },
            "xa" => self.distributed(&mut words),
            "create" | "alter" | "drop" | "rename" | "truncate" => self.shape(&first, &mut words),
            "insert" | "update" | "delete" | "replace" | "load" | "with" => Meaning::Unseen(self.database.clone()),
            _ => Meaning::Nothing,
        }
    }

    fn distributed(&self, words: &mut Words<'_>) -> Meaning {
        let verb = words.word();
        let id: String = words.rest().split_whitespace().collect::<String>().to_ascii_lowercase();
        match &*verb {
            "start" | "begin" => Meaning::Begin,
            "commit" => Meaning::XaCommit(id),
            "rollback" => Meaning::XaRollback(id),
            _ => Meaning::Nothing,
        }
    }

    fn shape(&self, verb: &str, words: &mut Words<'_>) -> Meaning {
        let mut word = words.word();
        while matches!(&*word, "or" | "replace" | "online" | "offline" | "ignore" | "unique" | "fulltext" | "spatial") {
            word = words.word();
        }
        let done = match verb {
            "create" => "the table was made",
            "drop" => "the table was dropped",
            "rename" => "the table was renamed",
            "truncate" => "the table was truncated",
            _ => "the table was altered",
        };
        match (verb, &*word) {
            (_, "temporary") => Meaning::Nothing,
            ("truncate", "") => self.names(words, None, done),
            (_, "table" | "tables") => self.names(words, Some(verb), done),
            ("create" | "drop", "index") => {
                // CREATE INDEX i ON t: a unique one may be the key.
                loop {
                    match words.part() {
                        None => return Meaning::AltersAll(self.database.clone()),
                        Some(Part::Word(word)) if word == "on" => break,
                        Some(_) => {}
                    }
                }
                self.names(words, None, "the table's indexes were changed")
            }
            ("alter" | "drop" | "create", "database" | "schema") => {
                words.skip_words(&["if", "not", "exists"]);
                let name = words.name().unwrap_or_else(|| self.database.clone());
                if verb == "drop" { Meaning::AltersAll(name) } else { Meaning::Nothing }
            }
            ("truncate", _) => {
                let mut words = Words::new(&self.sql);
                words.word();
                self.names(&mut words, None, done)
            }
            _ => Meaning::Nothing,
        }
    }

    /// Names behind a verb: one, or for DROP and RENAME several.
    fn names(&self, words: &mut Words<'_>, verb: Option<&str>, done: &'static str) -> Meaning {
        words.skip_words(&["if", "not", "exists"]);
        let mut names = Vec::new();
        let many = matches!(verb, Some("drop" | "rename"));
        while let Some(name) = words.name() {
            names.push(match words.dot().then(|| words.name()).flatten() {
                Some(table) => (name, table),
                None => (self.database.clone(), name),
            });
            let renames = match verb {
                Some("rename") => words.follows("to"),
                Some("alter") => {
                    self.renamed(words, &mut names);
                    false
                }
                _ => false,
            };
            if !(renames || (many && words.comma())) {
                break;
            }
        }
        if names.is_empty() { Meaning::AltersAll(self.database.clone()) } else { Meaning::Alters(names, done) }
    }

    /// `ALTER TABLE a …, RENAME TO b`, `… EXCHANGE PARTITION p WITH TABLE b`.
    fn renamed(&self, words: &mut Words<'_>, names: &mut Vec<(String, String)>) {
        let mut depth = 0_u32;
        while let Some(part) = words.part() {
            match part {
                Part::Sign('(') => depth += 1,
                Part::Sign(')') => depth = depth.saturating_sub(1),
                Part::Word(word) if depth == 0 && matches!(&*word, "rename" | "table") => {
                    let begun = words.clone();
                    words.skip_words(&["to", "as"]);
                    let next = words.clone().word();
                    if matches!(&*next, "column" | "index" | "key") {
                        *words = begun;
                        continue;
                    }
                    if let Some(name) = words.name() {
                        names.push(match words.dot().then(|| words.name()).flatten() {
                            Some(table) => (name, table),
                            None => (self.database.clone(), name),
                        });
                    }
                }
                _ => {}
            }
        }
    }
}

/// A statement's text, part by part, without its comments.
#[derive(Debug, Clone)]
struct Words<'a> {
    rest: &'a str,
    /// Inside a comment that is meant to be read: `/*!50700 … */`.
    inside: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// In lower case.
    Word(String),
    /// As it is between its quotes.
    Quoted(String),
    Sign(char),
}

impl<'a> Words<'a> {
    fn new(sql: &'a str) -> Self {
        Self { rest: sql, inside: false }
    }

    fn rest(&self) -> &'a str {
        self.rest.trim_end_matches(';')
    }

    fn skip_space(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if self.inside
                && let Some(rest) = self.rest.strip_prefix("*/")
            {
                (self.rest, self.inside) = (rest, false);
            } else if let Some(rest) = self.rest.strip_prefix("/*!").or_else(|| self.rest.strip_prefix("/*M!")) {
                self.rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                self.inside = true;
            } else if let Some(rest) = self.rest.strip_prefix("/*") {
                self.rest = rest.split_once("*/").map_or("", |(_, rest)| rest);
            } else if self.rest.starts_with('#') || self.rest.starts_with("-- ") {
                self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
            } else {
                return;
            }
        }
    }

    fn part(&mut self) -> Option<Part> {
        self.skip_space();
        let first = self.rest.chars().next()?;
        if matches!(first, '`' | '"' | '\'') {
            return Some(Part::Quoted(self.quoted(first)));
        }
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '@') || !c.is_ascii();
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        if end == 0 {
            self.rest = &self.rest[first.len_utf8()..];
            return Some(Part::Sign(first));
        }
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(Part::Word(word.to_ascii_lowercase()))
    }

    fn quoted(&mut self, quote: char) -> String {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1).peekable();
        let mut end = self.rest.len();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if chars.peek().is_some_and(|(_, next)| *next == quote) {
                    chars.next();
                } else {
                    end = at + 1;
                    break;
                }
            } else if c == '\\' && quote != '`' {
                if let Some((_, next)) = chars.next() {
                    out.push(next);
                }
                continue;
            }
            out.push(c);
        }
        self.rest = &self.rest[end..];
        out
    }

    /// The next word in lower case; empty where none comes.
    fn word(&mut self) -> String {
        let before = self.clone();
        match self.part() {
            Some(Part::Word(word)) => word,
            _ => {
                *self = before;
                String::new()
            }
        }
    }

    fn skip_words(&mut self, which: &[&str]) {
        loop {
            let before = self.clone();
            if !which.contains(&&*self.word()) {
                *self = before;
                return;
            }
        }
    }

    fn follows(&mut self, wanted: &str) -> bool {
        let before = self.clone();
        if self.word() == wanted {
            return true;
        }
        *self = before;
        false
    }

    fn sign(&mut self, wanted: char) -> bool {
        let before = self.clone();
        if self.part() == Some(Part::Sign(wanted)) {
            return true;
        }
        *self = before;
        false
    }

    fn comma(&mut self) -> bool {
        self.sign(',')
    }

    fn dot(&mut self) -> bool {
        self.sign('.')
    }

    /// A name in the case that it was written in.
    fn name(&mut self) -> Option<String> {
        self.skip_space();
        let before = self.clone();
        match self.part() {
            Some(Part::Quoted(name)) => Some(name),
            Some(Part::Word(word)) => Some(before.rest[..word.len()].to_owned()),
            _ => {
                *self = before;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, wanted: &str) {
        let statement = Statement { database: "d".into(), sql: sql.into() };
        let found = match statement.meaning() {
            Meaning::Alters(names, _) => {
                names.iter().map(|(database, table)| format!("{database}.{table}")).collect::<Vec<_>>().join(" ")
            }
            Meaning::AltersAll(database) => format!("all of {database}"),
            other => format!("{other:?}"),
        };
        assert_eq!(found, wanted, "{sql}");
    }

    #[test]
    fn what_changes_tables_is_known_by_its_words() {
        check("BEGIN", "Begin");
        check("CREATE TABLE t (id INT)", "d.t");
        check("create or replace table if not exists `o``dd`.`T 1` (a int)", "o`dd.T 1");
        check("CREATE TEMPORARY TABLE t (a int)", "Nothing");
        check("DROP TABLE IF EXISTS `a`,x.b /* generated by server */", "d.a x.b");
        check("DROP TEMPORARY TABLE a", "Nothing");
        check("RENAME TABLE a TO b, c to d.e", "d.a d.b d.c d.e");
        check("TRUNCATE t", "d.t");
        check("TRUNCATE TABLE x.t", "x.t");
        check("/* hi */ ALTER ONLINE TABLE t ADD COLUMN b INT DEFAULT 7", "d.t");
        check("ALTER TABLE t ADD c INT, RENAME TO u", "d.t d.u");
        check("ALTER TABLE t RENAME COLUMN a TO b", "d.t");
        check("CREATE UNIQUE INDEX i ON t (a)", "d.t");
        check("DROP INDEX i ON x.t", "x.t");
        check("DROP DATABASE x", "all of x");
        check("CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW SET @a = 1", "Nothing");
        check("INSERT INTO t VALUES (1)", "Unseen(\"d\")");
        check("CREATE /*!50100 TABLE */ `größe` (a int)", "d.größe");
        check("XA COMMIT X'61',X'',1", "XaCommit(\"x'61',x'',1\")");
    }
}
