//! `[auth]`, `[[auth.key]]` and `[[auth.user]]`: who is let in.

use std::fmt;
use std::time::Duration;

use rowcast::auth::{Algorithm, Expect, Issuer, Key as TokenKey, KeyError, KeySetSettings, Settings, User};
use toml_edit::Value;

use super::super::layers::Entry;
use super::super::units::Unclear;
use super::ingest::feed::expanded;
use super::socketio::json;
use super::{HOUR, Reader, shown};

/// The keys of an `[[auth.key]]`.
pub(crate) const KEY_KEYS: &[&str] = &["kid", "secret", "public", "private", "jwk", "algorithms"];

/// The keys of an `[[auth.user]]`.
pub(crate) const USER_KEYS: &[&str] = &["name", "password_hash", "claims"];

/// Who is let in.
#[derive(Debug, Clone)]
pub(crate) struct Auth {
    pub(crate) keys: Vec<Key>,
    pub(crate) key_sets: Vec<KeySetSettings>,
    pub(crate) expect: Expect,
    pub(crate) settings: Settings,
    pub(crate) users: Vec<User>,
    /// How long the tokens are good that are made here.
    pub(crate) ttl: Duration,
}

/// A key, of which it is known that it can be used.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    kid: Option<String>,
    pub(crate) kind: Kind,
    text: Hidden,
    algorithms: Vec<Algorithm>,
}

/// A text that is never printed.
#[derive(Clone)]
struct Hidden(String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a key is given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Secret,
    Public,
    Private,
    Jwk,
}

const KINDS: [(&str, Kind); 4] =
    [("secret", Kind::Secret), ("public", Kind::Public), ("private", Kind::Private), ("jwk", Kind::Jwk)];

impl Kind {
    /// Whether tokens can be made with it.
    pub(crate) fn signs(self) -> bool {
        matches!(self, Self::Secret | Self::Private)
    }
}

impl Key {
    /// What verifies with it.
    pub(crate) fn verifiers(&self) -> Result<Vec<TokenKey>, KeyError> {
        let (kid, text) = (self.kid.clone(), self.text.0.as_str());
        match self.kind {
            Kind::Secret => TokenKey::secret(text.as_bytes(), kid, &self.algorithms).map(|key| vec![key]),
            Kind::Public => TokenKey::pem(text, kid, &self.algorithms).map(|key| vec![key]),
            Kind::Private => Issuer::pem(text, kid, &self.algorithms).map(|(_, key)| vec![key]),
            Kind::Jwk => TokenKey::jwk(text, &self.algorithms),
        }
    }

    /// What makes tokens with it.
    pub(crate) fn issuer(&self) -> Option<Result<Issuer, KeyError>> {
        let (kid, text) = (self.kid.clone(), self.text.0.as_str());
        let issuer = match self.kind {
            Kind::Secret => Issuer::secret(text.as_bytes(), kid, &self.algorithms),
            Kind::Private => Issuer::pem(text, kid, &self.algorithms),
            Kind::Public | Kind::Jwk => return None,
        };
        Some(issuer.map(|(issuer, _)| issuer))
    }
}

impl<'a> Reader<'a> {
    /// `None`: everybody may do everything.
    pub(super) fn auth(&mut self) -> Option<Auth> {
        let told = self.mistakes.0.len();
        let mut keys: Vec<Key> = self.auth_secret().into_iter().collect();
        let layers = self.layers;
        for (number, entry) in layers.list("auth.key").iter().enumerate() {
            keys.extend(One { list: "auth.key", number, entry, reader: self }.key());
        }
        let mut users: Vec<User> = Vec::new();
        for (number, entry) in layers.list("auth.user").iter().enumerate() {
            let mut one = One { list: "auth.user", number, entry, reader: self };
            let Some(user) = one.user() else { continue };
            if users.iter().any(|other| other.name == user.name) {
                one.wrong("name", &format!("there is another user called {:?}", user.name), "give each its own name");
            }
            users.push(user);
        }
        let key_sets = self.key_sets();
        let auth =
            Auth { keys, key_sets, expect: self.expect(), settings: self.token_settings(), users, ttl: self.ttl() };
        let is_on =
            !(auth.keys.is_empty() && auth.key_sets.is_empty() && auth.users.is_empty()) || auth.settings.anonymous;
        if told == self.mistakes.0.len() {
            self.check_auth(&auth);
        }
        is_on.then_some(auth)
    }

    fn auth_secret(&mut self) -> Option<Key> {
        let key = "auth.secret";
        let text = self.text(key);
        if text.is_empty() {
            return None;
        }
        let origin = self.setting(key).origin.clone();
        let text = self.noted(&origin, key, expanded(&text))?;
        let algorithms = vec![Algorithm::Hs256];
        let key_of = Key { kid: None, kind: Kind::Secret, text: Hidden(text), algorithms };
        match key_of.verifiers() {
            Ok(_) => Some(key_of),
            Err(error) => {
                self.wrong(key, error.to_string(), "");
                None
            }
        }
    }

    fn key_sets(&mut self) -> Vec<KeySetSettings> {
        let refresh = self.duration("auth.jwks_refresh", Duration::from_secs(10), HOUR * 24);
        let ca = self.text("auth.jwks_ca");
        let ca = match std::fs::read(&ca) {
            _ if ca.is_empty() => None,
            Ok(pem) => Some(pem),
            Err(error) => {
                self.wrong("auth.jwks_ca", format!("{ca} cannot be read: {error}"), "");
                return Vec::new();
            }
        };
        let urls: Vec<String> = self.list("auth.jwks");
        let mut sets = Vec::new();
        for url in urls {
            match KeySetSettings::new(&url, ca.as_deref()) {
                Ok(mut set) => {
                    set.refresh = refresh;
                    sets.push(set);
                }
                Err(error) => {
                    self.wrong("auth.jwks", error.to_string(), "write for example \"https://id.example.com/jwks.json\"")
                }
            }
        }
        sets
    }

    fn expect(&mut self) -> Expect {
        let life = self.duration("auth.life_max", Duration::ZERO, HOUR * 24 * 3_650);
        let tenant = self.text("auth.tenant_claim");
        let user = self.text("auth.user_claim");
        if user.is_empty() {
            self.wrong("auth.user_claim", "the claim has no name", "write for example \"sub\"");
        }
        Expect {
            issuers: self.list("auth.issuer"),
            audiences: self.list("auth.audience"),
            leeway: self.duration("auth.leeway", Duration::ZERO, HOUR),
            must_expire: self.yes("auth.must_expire"),
            life_max: (!life.is_zero()).then_some(life),
            user,
            tenant: (!tenant.is_empty()).then_some(tenant),
        }
    }

    fn token_settings(&mut self) -> Settings {
        let (cookie, query) = (self.text("auth.cookie"), self.text("auth.query"));
        for (key, name) in [("auth.cookie", &cookie), ("auth.query", &query)] {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if !name.chars().all(plain) {
                self.wrong(
                    key,
                    format!("{name:?} is not a name for it"),
                    "write letters, digits, dots, dashes and underscores",
                );
            }
        }
        Settings {
            anonymous: self.yes("auth.anonymous"),
            cookie: (!cookie.is_empty()).then_some(cookie),
            query: (!query.is_empty()).then_some(query),
            warn: self.duration("auth.warn", Duration::ZERO, HOUR),
            grace: self.duration("auth.grace", Duration::ZERO, HOUR),
        }
    }

    fn ttl(&mut self) -> Duration {
        self.duration("auth.token_ttl", Duration::from_secs(1), HOUR * 24 * 3_650)
    }

    fn check_auth(&mut self, auth: &Auth) {
        let Expect { issuers, audiences, .. } = &auth.expect;
        if !auth.key_sets.is_empty() && issuers.is_empty() && audiences.is_empty() {
            let why = "a provider signs tokens for others with the same keys, and all of them would be let in";
            self.wrong("auth.jwks", why, "set auth.audience, or auth.issuer, or both");
        }
        if !auth.users.is_empty() && !auth.keys.iter().any(|key| key.kind.signs()) {
            let why = "there is no key to sign the tokens with of users who log in ([[auth.user]])";
            self.wrong("auth.secret", why, "write auth.secret = \"${file:PATH}\"; `openssl rand -base64 48` makes one");
        }
    }
}

/// One entry on its way.
struct One<'r, 'l> {
    list: &'static str,
    number: usize,
    entry: &'l Entry,
    reader: &'r mut Reader<'l>,
}

impl One<'_, '_> {
    fn key(&mut self) -> Option<Key> {
        let given: Vec<(&str, Kind)> =
            KINDS.into_iter().filter(|(name, _)| self.entry.settings.contains_key(*name)).collect();
        let [(name, kind)] = given[..] else {
            self.wrong(
                "kid",
                "a key is one of secret, public, private and jwk",
                "write for example public = \"${file:key.pem}\"",
            );
            return None;
        };
        let kid = self.text("kid")?;
        let algorithms = self.algorithms()?;
        let text = Hidden(self.text(name)??);
        let key = Key { kid, kind, text, algorithms };
        match key.verifiers() {
            Ok(_) => Some(key),
            Err(error) => {
                self.wrong(name, &error.to_string(), "");
                None
            }
        }
    }

    fn algorithms(&mut self) -> Option<Vec<Algorithm>> {
        let Some(setting) = self.entry.settings.get("algorithms") else { return Some(Vec::new()) };
        let read = |item: &Value| item.as_str()?.parse().ok();
        let read = setting.value.as_array().and_then(|items| items.iter().map(read).collect());
        if read.is_none() {
            let what = format!("expected a list of algorithms, got {}", shown(&setting.value));
            self.wrong(
                "algorithms",
                &what,
                "write some of HS256, RS256, PS256, ES256 (each also with 384 and 512) and EdDSA",
            );
        }
        read
    }

    fn user(&mut self) -> Option<User> {
        let (name, hash) = (self.text("name")?, self.text("password_hash")?);
        let (Some(name), Some(password_hash)) = (name, hash) else {
            self.wrong("name", "a user has a name and a password_hash", "`rowcast password` makes the hash");
            return None;
        };
        let claims = match self.entry.settings.get("claims").map(|setting| json(&setting.value)) {
            None => serde_json::Map::new(),
            Some(serde_json::Value::Object(claims)) => claims,
            Some(_) => {
                self.wrong("claims", "expected names with values", "write { tenant = \"acme\" }");
                return None;
            }
        };
        let user = User { name, password_hash, claims };
        match user.check() {
            Ok(()) => Some(user),
            Err(error) => {
                self.wrong("password_hash", &error.to_string(), "");
                None
            }
        }
    }

    /// A text, which may name a secret instead of holding it. `None` only where something was noted.
    fn text(&mut self, name: &str) -> Option<Option<String>> {
        let Some(setting) = self.entry.settings.get(name) else { return Some(None) };
        // What is not a text may be a secret nevertheless: it is not shown.
        let Some(text) = setting.value.as_str() else {
            self.wrong(name, "expected text", "write it in quotes");
            return None;
        };
        // A hash is full of dollars, but none of them is followed by a brace.
        match expanded(text) {
            Ok(text) => Some(Some(text)),
            Err(Unclear { what, fix }) => {
                self.wrong(name, &what, &fix);
                None
            }
        }
    }

    fn wrong(&mut self, name: &str, what: &str, fix: &str) {
        let origin = self.entry.settings.get(name).map_or(&self.entry.origin, |setting| &setting.origin);
        self.reader.mistakes.push(origin, &format!("{}[{}].{name}", self.list, self.number), what, fix);
    }
}
