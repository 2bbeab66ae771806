//! `[[rule]]`: who may do what with which rows and channels.

use rowcast::auth::rules::{Roles, RuleError, RuleSpec, Rules};
use toml_edit::Value;

use super::super::layers::Entry;
use super::{Reader, sentence, shown};

/// The keys of a `[[rule]]`.
pub(crate) const KEYS: &[&str] = &[
    "table",
    "channel",
    "when",
    "read",
    "rls",
    "role",
    "reads",
    "claims",
    "columns",
    "insert",
    "update",
    "check",
    "changes",
    "delete",
    "shared",
    "subscribe",
    "publish",
    "presence",
];

/// All rules, of which it is known that they can be read.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleSpecs {
    pub(crate) rules: Vec<RuleSpec>,
    pub(crate) admin: Option<String>,
    pub(crate) tenant_column: Option<String>,
    pub(crate) role_claim: Option<String>,
}

impl RuleSpecs {
    pub(crate) fn to_rules(&self) -> Result<Rules, Vec<RuleError>> {
        let mut rules = Rules::new(self.rules.clone(), self.admin.as_deref(), self.tenant_column.clone())?;
        rules.role_claim.clone_from(&self.role_claim);
        Ok(rules)
    }
}

impl Reader<'_> {
    pub(super) fn rules(&mut self) -> RuleSpecs {
        let given = |text: String| (!text.is_empty()).then_some(text);
        let mut specs = RuleSpecs {
            rules: Vec::new(),
            admin: given(self.text("auth.admin")),
            tenant_column: given(self.text("auth.tenant_column")),
            role_claim: given(self.text("auth.role_claim")),
        };
        let layers = self.layers;
        let entries = layers.list("rule");
        for (number, entry) in entries.iter().enumerate() {
            let mut one = One { number, entry, reader: self };
            specs.rules.push(one.read());
        }
        for RuleError { rule, key, message, hint } in specs.to_rules().err().into_iter().flatten() {
            let fix = hint.unwrap_or_default();
            match entries.get(rule) {
                Some(entry) => One { number: rule, entry, reader: self }.wrong(key, &message, &fix),
                None => self.wrong("auth.admin", message, &fix),
            }
        }
        specs
    }

    /// Rules are for those who say who they are.
    pub(super) fn check_rules(&mut self, specs: &RuleSpecs, is_on: bool) {
        if !specs.rules.is_empty() && !is_on {
            let why = "there are rules ([[rule]]), but nobody is asked who he is: all would be allowed everything";
            self.wrong(
                "auth.secret",
                why,
                "set auth.secret or auth.jwks, or auth.anonymous = true if claims are not needed",
            );
        }
    }
}

/// One entry on its way.
struct One<'r, 'l> {
    number: usize,
    entry: &'l Entry,
    reader: &'r mut Reader<'l>,
}

impl<'l> One<'_, 'l> {
    fn read(&mut self) -> RuleSpec {
        let table = self.text("table").and_then(|text| match text.parse() {
            Ok(table) => Some(table),
            Err(error) => {
                self.wrong("table", &sentence(error).what, "");
                None
            }
        });
        RuleSpec {
            table,
            channel: self.text("channel"),
            when: self.text("when"),
            read: self.text("read"),
            rls: self.read_as("rls", "true or false", Value::as_bool).unwrap_or(false),
            role: self.read_as("role", "a role, or a list of roles", |value| match value.as_str() {
                Some(role) => Some(Roles::One(role.to_owned())),
                None => names(value).map(Roles::Named),
            }),
            reads: self.read_as("reads", "a list of tables", names),
            claims: self.read_as("claims", "a list of names", names),
            columns: self.read_as("columns", "a list of names", names),
            insert: self.text("insert"),
            update: self.text("update"),
            check: self.text("check"),
            changes: self.read_as("changes", "a list of names", names),
            delete: self.text("delete"),
            shared: self.read_as("shared", "true or false", Value::as_bool).unwrap_or(false),
            subscribe: self.text("subscribe"),
            publish: self.text("publish"),
            presence: self.text("presence"),
        }
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.read_as(name, "text", |value| value.as_str().map(str::to_owned))
    }

    fn read_as<T>(&mut self, name: &str, expected: &str, read: impl FnOnce(&'l Value) -> Option<T>) -> Option<T> {
        let value = &self.entry.settings.get(name)?.value;
        let found = read(value);
        if found.is_none() {
            self.wrong(name, &format!("expected {expected}, got {}", shown(value)), "");
        }
        found
    }

    fn wrong(&mut self, name: &str, what: &str, fix: &str) {
        let origin = self.entry.settings.get(name).map_or(&self.entry.origin, |setting| &setting.origin);
        self.reader.mistakes.push(origin, &format!("rule[{}].{name}", self.number), what, fix);
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{config, layers};
    use super::super::super::{Config, DEFAULT};
    use super::*;

    const ON: &str = "auth.secret = 'a secret of more than thirty-two bytes'\n";

    #[test]
    fn rules_are_read() {
        let text = format!(
            "{ON}auth.admin = \"claims.role = 'admin'\"\nauth.tenant_column = 'tenant_id'
            [[rule]]\ntable = 'public.tasks'\nread = 'owner = claims.sub'\ncolumns = ['id', 'title']\ninsert = 'true'
            [[rule]]\nchannel = 'room:{{room}}'\nsubscribe = 'room in (select room from members where user = claims.sub)'"
        );
        let rules = config(&text).rules;
        assert_eq!(rules.rules.len(), 2);
        assert_eq!(rules.rules[0].columns.as_ref().map(Vec::len), Some(2));
        assert_eq!(rules.tenant_column.as_deref(), Some("tenant_id"));
    }

    #[test]
    fn a_table_s_own_policies_can_be_the_rule() {
        let rule = "[[rule]]\ntable = 'tasks'\nrls = true\nrole = ['anon', 'authenticated']\nclaims = ['sub']
            reads = ['members where user_id = claims.sub', 'app.teams']";
        let rules = config(&format!("{ON}auth.role_claim = 'db_role'\n{rule}")).rules.to_rules().expect("rules");
        assert_eq!(rules.role_claim.as_deref(), Some("db_role"));
        let (rule, policies) = rules.ruled_by_policies().next().expect("one");
        assert_eq!((&*rule.table.name, policies.roles().len(), policies.reads.len()), ("tasks", 2, 2));
        let read: Vec<String> = rules.membership_tables().iter().map(ToString::to_string).collect();
        assert_eq!(read, ["members", "app.teams"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let told = |text: &str| Config::read(&layers(text, &[], vec![])).expect_err(text).to_string();
        for (rule, key, part) in [
            ("table = 'tasks'\nread = 'owner ='", "rule[0].read", "ends where"),
            ("table = 'tasks'\nreed = 'true'", "rule[0].reed", "no such key"),
            ("read = 'true'", "rule[0].table", "a table or about channels"),
            ("channel = 'lobby'\nsubscribe = 'true'", "rule[0].channel", "no pattern"),
            ("table = 'tasks'\ncolumns = 'id'", "rule[0].columns", "a list of names"),
            ("table = 'tasks'\nread = 'true'\nchanges = ['a']", "rule[0].changes", "rows that are changed"),
            ("table = 'tasks'\ndelete = 'true'", "rule[0].delete", "may not be read is not found"),
            ("table = 'tasks'\nwhen = 'owner = 1'", "rule[0].when", "no column `owner`"),
            (
                "table = 'tasks'\nrls = true\nrole = 'member'\nread = 'true'",
                "rule[0].rls",
                "policies say what may be read",
            ),
            ("table = 'tasks'\nrls = true\nrole = 'r'\nupdate = 'true'", "rule[0].update", "own policies"),
            ("table = 'tasks'\nrls = true", "rule[0].role", "needs a role"),
            ("table = 'tasks'\nrls = true\nrole = []", "rule[0].role", "no role"),
            ("table = 'tasks'\nrls = true\nrole = 'none'", "rule[0].role", "no role"),
            ("table = 'tasks'\nread = 'true'\nclaims = ['sub']", "rule[0].claims", "row-level security"),
            ("table = 'tasks'\nrls = true\nrole = 'r'\nreads = ['members where']", "rule[0].reads", "at character"),
            ("table = 'tasks'\nrls = true\nrole = 'r'\nreads = ['members on x']", "rule[0].reads", "where"),
            ("channel = 'room:*'\nrls = true", "rule[0].rls", "rules about tables"),
        ] {
            let told = told(&format!("{ON}[[rule]]\n{rule}"));
            assert!(told.contains(&format!("{key}: ")) && told.contains(part), "{rule}: {told}");
        }
        assert!(told("[[rule]]\ntable = 'tasks'\nread = 'true'").contains("nobody is asked who he is"));
        assert!(told(&format!("{ON}auth.admin = 'role ='")).contains("auth.admin: "));
    }

    #[test]
    fn the_examples_in_the_defaults_are_of_keys_that_there_are() {
        let example = DEFAULT.split("\n# [[rule]]\n").skip(1).collect::<String>();
        for key in KEYS {
            assert!(example.contains(&format!("# {key} = ")), "{key}");
        }
    }
}
