//! Rules: who may do what with which rows and channels, in SQL's own words.
//!
//! What no rule allows is not allowed. Here they are read and found; what their words mean for a row is `filter`'s.

mod pattern;
mod policies;

use serde_json::{Map, Value as Json};

use super::Identity;
use crate::event::{Table, TableName};
use crate::filter::{Binding, Dialect, Filter, FilterError, Predicate};
pub use pattern::{Pattern, PatternError};
pub use policies::{Policies, Roles};

/// A rule as it is written. Expressions are [filters](Filter::parse_rule).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// The table that it is about. Either this or `channel`.
    pub table: Option<TableName>,
    /// The channels that it is about: [`Pattern`].
    pub channel: Option<String>,
    /// Holds only for clients of whom this is true; it reads claims alone.
    pub when: Option<String>,
    /// Which rows may be read.
    pub read: Option<String>,
    /// Whether the database's policies say which rows may be read.
    pub rls: bool,
    /// As whom they are read then.
    pub role: Option<Roles>,
    /// What else the policies read: `table`, or `table where …`.
    pub reads: Option<Vec<String>>,
    /// The claims that policies see.
    pub claims: Option<Vec<String>>,
    /// Which columns may be read; `None`: all.
    pub columns: Option<Vec<String>>,
    /// Which rows may be inserted.
    pub insert: Option<String>,
    /// Which rows may be changed, by what they are before.
    pub update: Option<String>,
    /// What a changed row has to be afterwards; as `update` where it is not said.
    pub check: Option<String>,
    /// Which columns may be changed; `None`: all that may be read.
    pub changes: Option<Vec<String>>,
    /// Which rows may be removed.
    pub delete: Option<String>,
    /// Whether the table belongs to no tenant.
    pub shared: bool,
    /// Who may follow the channel. Names of the pattern stand for what they have taken.
    pub subscribe: Option<String>,
    /// Who may send messages to it.
    pub publish: Option<String>,
    /// Who may be seen there, and see who is; as `subscribe` where it is not said.
    pub presence: Option<String>,
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct RuleError {
    /// Which rule, from 0.
    pub rule: usize,
    /// Which of its keys.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
}

/// All rules.
#[derive(Debug, Default)]
pub struct Rules {
    tables: Vec<TableRule>,
    channels: Vec<ChannelRule>,
    /// A column that says whose tenant's a row is: added to the rules of every table that has it.
    pub tenant_column: Option<String>,
    /// The claim in which a token names a role of the database; `None`: `role`.
    pub role_claim: Option<String>,
    admin: Option<Filter>,
}

/// Who may do what with a table.
#[derive(Debug)]
pub struct TableRule {
    /// Which table.
    pub table: TableName,
    when: Option<Filter>,
    /// Which rows may be read; `None`: none.
    pub read: Option<Filter>,
    /// How the database's policies are asked, which decide then among those rows.
    pub policies: Option<Policies>,
    /// Which columns may be read; `None`: all.
    pub columns: Option<Vec<String>>,
    /// Which rows may be inserted; `None`: none.
    pub insert: Option<Filter>,
    /// Which rows may be changed, by what they are before; `None`: none.
    pub update: Option<Filter>,
    /// What a changed row has to be afterwards; `None`: as `update`.
    pub check: Option<Filter>,
    /// Which columns may be changed; `None`: all that may be read.
    pub changes: Option<Vec<String>>,
    /// Which rows may be removed; `None`: none.
    pub delete: Option<Filter>,
    /// Whether it belongs to no tenant.
    pub shared: bool,
}

/// Who may do what on a channel.
#[derive(Debug)]
pub struct ChannelRule {
    /// Which channels.
    pub pattern: Pattern,
    when: Option<Filter>,
    /// Who may follow it.
    pub subscribe: Option<Filter>,
    /// Who may send messages to it.
    pub publish: Option<Filter>,
    /// Who may be seen there, and see who is.
    pub presence: Option<Filter>,
}

impl Rules {
    /// Reads rules; tells all that is wrong. `admin` is of whom it is true that he may see and change how the gateway itself is.
    pub fn new(
        specs: Vec<RuleSpec>,
        admin: Option<&str>,
        tenant_column: Option<String>,
    ) -> Result<Self, Vec<RuleError>> {
        let mut rules = Self { tenant_column, ..Self::default() };
        let mut wrong = Vec::new();
        for (rule, spec) in specs.into_iter().enumerate() {
            let mut reading = Reading { rule, wrong: &mut wrong };
            match (spec.table.clone(), spec.channel.clone()) {
                (Some(table), None) => rules.tables.push(reading.table(table, spec)),
                (None, Some(channel)) => rules.channels.extend(reading.channel(&channel, spec)),
                _ => reading.say(
                    "table",
                    "a rule is about a table or about channels",
                    "write `table = …` or `channel = …`",
                ),
            }
        }
        match admin.map(Filter::parse) {
            Some(Err(error)) => wrong.push(filter_error(usize::MAX, "admin", error)),
            Some(Ok(filter)) => rules.admin = Some(filter),
            None => {}
        }
        if wrong.is_empty() { Ok(rules) } else { Err(wrong) }
    }

    /// The rule that holds for a client and a table, by the name that the database has for it. A rule that names no schema is about the
    /// table of the schema `public`, where there are schemas; case does not count where it does not in the database (SQLite).
    pub fn table(&self, table: &TableName, identity: &Identity, dialect: Dialect) -> Option<&TableRule> {
        let is_it = |rule: &&TableRule| {
            let same = |a: &str, b: &str| a == b || dialect == Dialect::Sqlite && a.eq_ignore_ascii_case(b);
            let schema = &*rule.table.schema;
            let same_schema = same(schema, &table.schema) || schema.is_empty() && &*table.schema == "public";
            let is_for = |policies: &Policies| policies.role(&identity.claims, self.role_claim()).is_some();
            same_schema
                && same(&rule.table.name, &table.name)
                && rule.policies.as_ref().is_none_or(is_for)
                && holds(rule.when.as_ref(), &identity.claims)
        };
        self.tables.iter().find(is_it)
    }

    /// The rule that holds for a client and a channel, with what the pattern's names have taken.
    pub fn channel(&self, channel: &str, identity: &Identity) -> Option<(&ChannelRule, Taken)> {
        self.channels.iter().find_map(|rule| {
            let taken = rule.pattern.take(channel)?;
            holds(rule.when.as_ref(), &identity.claims).then_some((rule, taken))
        })
    }

    /// The claim in which a token names a role of the database.
    pub fn role_claim(&self) -> &str {
        self.role_claim.as_deref().unwrap_or("role")
    }

    /// Whether a client may see and change how the gateway itself is.
    pub fn is_admin(&self, identity: &Identity) -> bool {
        self.admin.as_ref().is_some_and(|admin| holds(Some(admin), &identity.claims))
    }

    /// The tables that are read to decide about others.
    pub fn membership_tables(&self) -> Vec<TableName> {
        let of_tables = self.tables.iter().flat_map(|rule| [&rule.read, &rule.insert]);
        let of_channels = self.channels.iter().flat_map(|rule| [&rule.subscribe, &rule.publish, &rule.presence]);
        let filters = of_tables.chain(of_channels).flatten();
        let of_policies = self.ruled_by_policies().flat_map(|(_, policies)| &policies.reads);
        let selects = filters.flat_map(|filter| filter.selects()).chain(of_policies);
        let mut tables: Vec<TableName> = selects.map(|select| select.table().clone()).collect();
        tables.sort();
        tables.dedup();
        tables
    }

    /// The tables whose own policies decide.
    pub fn ruled_by_policies(&self) -> impl Iterator<Item = (&TableRule, &Policies)> {
        self.tables.iter().filter_map(|rule| Some((rule, rule.policies.as_ref()?)))
    }

    /// The tables of which there are rules about reading.
    pub fn ruled_tables(&self) -> impl Iterator<Item = &TableName> {
        self.tables.iter().filter(|rule| rule.read.is_some()).map(|rule| &rule.table)
    }
}

/// What the names of a channel's pattern have taken, as a row of texts.
#[derive(Debug, Clone)]
pub struct Taken {
    /// The names are its columns.
    pub table: Table,
    /// What they have taken.
    pub values: Vec<String>,
}

fn holds(when: Option<&Filter>, claims: &Map<String, Json>) -> bool {
    let Some(when) = when else { return true };
    let table = Table { name: TableName::bare(""), columns: Vec::new(), key: Vec::new() };
    let bound = when.bind(&table, Dialect::Sqlite, claims);
    bound.is_ok_and(|predicate| predicate.known() == Some(Some(true)))
}

/// A row is the tenant's.
pub fn of_tenant(table: &Table, column: &str, tenant: &str, dialect: Dialect) -> Result<Predicate, FilterError> {
    let filter = Filter::parse(&format!("\"{}\" = claims.tenant", column.replace('"', "\"\"")))?;
    let tenant = if tenant.is_empty() { Json::Null } else { Json::String(tenant.to_owned()) };
    let claims = Map::from_iter([("tenant".to_owned(), tenant)]);
    filter.bind_with(Binding { table, dialect, claims: &claims, readable: None, chosen: &[] })
}

/// One rule on its way.
struct Reading<'r> {
    rule: usize,
    wrong: &'r mut Vec<RuleError>,
}

impl Reading<'_> {
    fn table(&mut self, table: TableName, spec: RuleSpec) -> TableRule {
        for (key, given) in [
            ("subscribe", spec.subscribe.is_some()),
            ("publish", spec.publish.is_some()),
            ("presence", spec.presence.is_some()),
        ] {
            if given {
                self.say(
                    key,
                    "this is for rules about channels",
                    "a table has read, columns, insert, update and delete",
                );
            }
        }
        let changed = spec.update.is_some();
        for (key, given) in [("check", spec.check.is_some()), ("changes", spec.changes.is_some())] {
            if given && !changed {
                self.say(key, "this is about rows that are changed", "write `update`, too: which rows may be changed");
            }
        }
        for (key, given) in [("update", changed), ("delete", spec.delete.is_some())] {
            if given && spec.rls {
                self.say(key, "rows of a table whose own policies decide are not changed through here", "leave it out");
            } else if given && spec.read.is_none() {
                self.say(key, "what may not be read is not found", "write `read`, too: which rows may be read");
            }
        }
        if spec.rls && spec.read.is_some() {
            let hint = "leave `read` out, or `rls`; a further condition is a policy `AS RESTRICTIVE`";
            self.say("rls", "with row-level security the table's policies say what may be read", hint);
        }
        // Among all rows, its policies choose.
        let read = if spec.rls { Some("true") } else { spec.read.as_deref() };
        TableRule {
            table,
            when: self.claims_only("when", spec.when.as_deref()),
            read: self.filter("read", read),
            policies: self.policies(spec.rls, spec.role, spec.reads, spec.claims),
            columns: spec.columns,
            insert: self.filter("insert", spec.insert.as_deref()),
            update: self.filter("update", spec.update.as_deref()),
            check: self.filter("check", spec.check.as_deref()),
            changes: spec.changes,
            delete: self.filter("delete", spec.delete.as_deref()),
            shared: spec.shared,
        }
    }

    fn channel(&mut self, channel: &str, spec: RuleSpec) -> Option<ChannelRule> {
        for (key, given) in [
            ("read", spec.read.is_some()),
            ("rls", spec.rls),
            ("role", spec.role.is_some()),
            ("reads", spec.reads.is_some()),
            ("claims", spec.claims.is_some()),
            ("columns", spec.columns.is_some()),
            ("insert", spec.insert.is_some()),
            ("update", spec.update.is_some()),
            ("check", spec.check.is_some()),
            ("changes", spec.changes.is_some()),
            ("delete", spec.delete.is_some()),
        ] {
            if given {
                self.say(key, "this is for rules about tables", "a channel has subscribe, publish and presence");
            }
        }
        let pattern = match Pattern::parse(channel) {
            Ok(pattern) => pattern,
            Err(error) => {
                self.say("channel", &error.0, "write for example `room:{room}`, `notify:orders` or `event:*`");
                return None;
            }
        };
        let rule = ChannelRule {
            when: self.claims_only("when", spec.when.as_deref()),
            subscribe: self.filter("subscribe", spec.subscribe.as_deref()),
            publish: self.filter("publish", spec.publish.as_deref()),
            presence: self.filter("presence", spec.presence.as_deref()),
            pattern,
        };
        self.names(&rule);
        Some(rule)
    }

    /// Columns that a channel's rule reads are the pattern's names.
    fn names(&mut self, rule: &ChannelRule) {
        let taken = rule.pattern.empty();
        for (key, filter) in [("subscribe", &rule.subscribe), ("publish", &rule.publish), ("presence", &rule.presence)]
        {
            let Some(filter) = filter.as_ref().filter(|filter| filter.selects().is_empty()) else { continue };
            if let Err(error) = filter.bind(&taken.table, Dialect::Sqlite, &Map::new()) {
                self.wrong.push(filter_error(self.rule, key, error));
            }
        }
    }

    fn filter(&mut self, key: &'static str, text: Option<&str>) -> Option<Filter> {
        match Filter::parse_rule(text?) {
            Ok(filter) => Some(filter),
            Err(error) => {
                self.wrong.push(filter_error(self.rule, key, error));
                None
            }
        }
    }

    fn claims_only(&mut self, key: &'static str, text: Option<&str>) -> Option<Filter> {
        let filter = match Filter::parse(text?) {
            Ok(filter) => filter,
            Err(error) => {
                self.wrong.push(filter_error(self.rule, key, error));
                return None;
            }
        };
        let table = Table { name: TableName::bare(""), columns: Vec::new(), key: Vec::new() };
        if let Err(error) = filter.bind(&table, Dialect::Sqlite, &Map::new()) {
            let hint = "it reads claims alone: `claims.role = 'admin'`";
            self.wrong.push(RuleError { hint: Some(hint.into()), ..filter_error(self.rule, key, error) });
        }
        Some(filter)
    }

    fn say(&mut self, key: &'static str, message: &str, hint: &str) {
        let (message, hint) = (message.to_owned(), Some(hint.to_owned()));
        self.wrong.push(RuleError { rule: self.rule, key, message, hint });
    }
}

fn filter_error(rule: usize, key: &'static str, error: FilterError) -> RuleError {
    let message = format!("{} (at character {})", error.message, error.offset + 1);
    RuleError { rule, key, message, hint: error.hint }
}

#[cfg(test)]
mod tests;
