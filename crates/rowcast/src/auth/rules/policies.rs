//! `rls = true`: the database's own row-level security is the rule.
//!
//! Here it is known as whom the database is asked. What its policies say is asked by `store`, and kept by `session`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{Reading, filter_error};
use crate::filter::Select;

/// Claims that say when and how often a token was made: they tell no clients apart.
const OF_THE_TOKEN: [&str; 4] = ["exp", "iat", "nbf", "jti"];
/// The claim that policies find the role in, as PostgREST gives it to them.
const ROLE: &str = "role";

/// How a table's policies are asked.
#[derive(Debug, Clone)]
pub struct Policies {
    roles: Roles,
    /// What else the policies read, and which of its rows concern a client.
    pub reads: Vec<Arc<Select>>,
    /// The claims that policies see; `None`: all but those of the token itself.
    claims: Option<Vec<String>>,
}

/// As whom rows are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roles {
    /// Always as this one.
    One(String),
    /// As the one that the token names, if it is one of these.
    Named(Vec<String>),
}

impl Policies {
    /// Every role that may be read as.
    pub fn roles(&self) -> &[String] {
        match &self.roles {
            Roles::One(role) => std::slice::from_ref(role),
            Roles::Named(roles) => roles,
        }
    }

    /// The role of a client; `None` where it has none. `claim` is where tokens name it.
    pub fn role<'p>(&'p self, claims: &Map<String, Json>, claim: &str) -> Option<&'p str> {
        match &self.roles {
            Roles::One(role) => Some(role),
            Roles::Named(roles) => {
                let named = claims.get(claim)?.as_str()?;
                roles.iter().map(String::as_str).find(|role| *role == named)
            }
        }
    }

    /// What the policies see of a client, as JSON: the same text for those who are the same to them.
    pub fn claims(&self, claims: &Map<String, Json>, role: &str) -> String {
        let shows = |name: &str| match &self.claims {
            Some(names) => names.iter().any(|own| own == name),
            None => !OF_THE_TOKEN.contains(&name),
        };
        let mut shown: BTreeMap<&str, Json> =
            claims.iter().filter(|(name, _)| shows(name)).map(|(name, value)| (&**name, in_order(value))).collect();
        shown.entry(ROLE).or_insert_with(|| role.into());
        serde_json::to_string(&shown).expect("claims are JSON")
    }
}

/// With the names of objects in order, so that equal claims are equal texts.
fn in_order(value: &Json) -> Json {
    match value {
        Json::Object(object) => {
            let sorted: BTreeMap<&String, Json> = object.iter().map(|(name, value)| (name, in_order(value))).collect();
            Json::Object(sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Json::Array(items) => items.iter().map(in_order).collect(),
        other => other.clone(),
    }
}

impl Reading<'_> {
    /// What is written beside `rls`.
    pub(super) fn policies(
        &mut self,
        rls: bool,
        roles: Option<Roles>,
        reads: Option<Vec<String>>,
        claims: Option<Vec<String>>,
    ) -> Option<Policies> {
        if !rls {
            for (key, given) in [("role", roles.is_some()), ("reads", reads.is_some()), ("claims", claims.is_some())] {
                if given {
                    self.say(key, "this belongs to row-level security", "write `rls = true`, or leave it out");
                }
            }
            return None;
        }
        let Some(roles) = roles else {
            let message = "row-level security needs a role to read as";
            self.say("role", message, "write for example `role = \"authenticated\"`");
            return None;
        };
        let mut policies = Policies { roles, reads: Vec::new(), claims };
        // `none` is what SQL calls no role at all.
        if policies.roles().is_empty() || policies.roles().iter().any(|role| role.is_empty() || role == "none") {
            self.say("role", "this is no role", "name one, or a list of those that tokens may name");
        }
        for text in reads.iter().flatten() {
            match Select::rows(text) {
                Ok(select) => policies.reads.push(Arc::new(select)),
                Err(error) => self.wrong.push(filter_error(self.rule, "reads", error)),
            }
        }
        Some(policies)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policies(roles: Roles, claims: Option<&[&str]>) -> Policies {
        let claims = claims.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        Policies { roles, reads: Vec::new(), claims }
    }

    fn object(value: Json) -> Map<String, Json> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_token_names_only_roles_that_are_listed() {
        let named = policies(Roles::Named(vec!["anon".into(), "authenticated".into()]), None);
        for (claims, role) in [
            (json!({ "role": "anon" }), Some("anon")),
            (json!({ "role": "postgres" }), None),
            (json!({ "role": ["anon"] }), None),
            (json!({ "sub": "ada" }), None),
        ] {
            assert_eq!(named.role(&object(claims.clone()), "role"), role, "{claims}");
        }
        let one = policies(Roles::One("member".into()), None);
        assert_eq!(one.role(&object(json!({ "role": "postgres" })), "role"), Some("member"));
    }

    #[test]
    fn tokens_that_say_the_same_are_the_same_to_policies() {
        let policies_of_all = policies(Roles::One("member".into()), None);
        let text = |claims: Json| policies_of_all.claims(&object(claims), "member");
        let one = text(json!({ "sub": "ada", "exp": 1, "jti": "x", "app": { "b": 1, "a": [2] } }));
        assert_eq!(one, text(json!({ "app": { "a": [2], "b": 1 }, "iat": 7, "sub": "ada" })));
        assert_eq!(one, r#"{"app":{"a":[2],"b":1},"role":"member","sub":"ada"}"#);
        let few = policies(Roles::One("member".into()), Some(&["sub"]));
        assert_eq!(
            few.claims(&object(json!({ "sub": "ada", "email": "e" })), "member"),
            r#"{"role":"member","sub":"ada"}"#
        );
    }
}
