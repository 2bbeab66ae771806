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
    /// `None`: everybody may do everything. Where there is a chat, somebody is asked in any case.
    pub(super) fn auth(&mut self, is_needed: bool) -> Option<Auth> {
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
        let is_on = !(auth.keys.is_empty() && auth.key_sets.is_empty() && auth.users.is_empty())
            || auth.settings.anonymous
            || is_needed;
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
        let tenant_host = self.text("auth.tenant_host");
        if !tenant_host.is_empty() && !tenant_host.contains("{tenant}") {
            self.wrong(
                "auth.tenant_host",
                "it does not say where the tenant stands",
                "write for example \"{tenant}.example.com\"",
            );
        }
        Settings {
            anonymous: self.yes("auth.anonymous"),
            cookie: (!cookie.is_empty()).then_some(cookie),
            query: (!query.is_empty()).then_some(query),
            tenant_host: (!tenant_host.is_empty()).then_some(tenant_host),
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

#[cfg(test)]
mod tests {
    use super::super::super::tests::{config, layers, mistakes};
    use super::super::super::{Config, DEFAULT};
    use super::*;

    const SECRET: &str = "a secret of more than thirty-two bytes";
    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$K3iGq8aY5lwGkWZAyS8cGEXqAgHr6sQyNnmZTCfxLbI";

    #[test]
    fn without_a_key_everybody_may_do_everything() {
        assert!(config("").auth.is_none());
        assert!(config("[auth]\nissuer = 'https://id.example'\n").auth.is_none());
        assert!(config("[auth]\nanonymous = true\n").auth.is_some_and(|auth| auth.settings.anonymous));
    }

    #[test]
    fn keys_and_users_are_read() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let file = format!(
            "[auth]\nsecret = '{SECRET}'\njwks = ['https://id.example/jwks']\naudience = ['rowcast']\nleeway = '5s'\ntenant_claim = 'org'\n\
             life_max = '1h'\nquery = ''\ncookie = 'session'\n[[auth.key]]\nkid = 'two'\nsecret = '{SECRET}'\nalgorithms = ['HS512']\n\
             [[auth.user]]\nname = 'ann'\npassword_hash = '{HASH}'\nclaims = {{ org = 'acme', n = 1 }}\n"
        );
        let auth = config(&file).auth.expect("on");
        assert_eq!((auth.keys.len(), auth.key_sets.len(), auth.users.len()), (2, 1, 1));
        assert_eq!(auth.users[0].claims["org"], "acme");
        assert_eq!((auth.expect.leeway.as_secs(), auth.expect.tenant.as_deref()), (5, Some("org")));
        assert_eq!(auth.expect.life_max, Some(HOUR));
        assert_eq!((auth.settings.query.as_deref(), auth.settings.cookie.as_deref()), (None, Some("session")));
        assert!(auth.keys.iter().all(|key| key.issuer().is_some()));
        let debugged = format!("{auth:?}");
        assert!(!debugged.contains("thirty-two") && !debugged.contains("argon2id"), "{debugged}");
    }

    #[test]
    fn the_environment_gives_secrets_and_whole_lists() {
        let key = format!("[{{ kid = 'a', secret = '{SECRET}' }}]");
        let environment = [("ROWCAST__AUTH__SECRET", SECRET), ("ROWCAST__AUTH__KEY", key.as_str())];
        let auth = Config::read(&layers("", &environment, vec![])).expect("no mistakes").auth.expect("on");
        assert_eq!(auth.keys.len(), 2);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("{SECRET}\n")).expect("written");
        let file = format!("[auth]\nsecret = '${{file:{}}}'\n", path.display());
        assert_eq!(config(&file).auth.expect("on").keys[0].text.0, SECRET);
    }

    #[test]
    fn secrets_are_not_printed() {
        let file = format!(
            "[auth]\nsecret = '{SECRET}'\n[[auth.key]]\nsecret = '{SECRET}'\n[[auth.key]]\nprivate = '{SECRET}'\n[[auth.key]]\njwk = '{SECRET}'\n\
             [[auth.key]]\nsecret = '${{MY_SECRET}}'\n[[auth.user]]\npassword_hash = '{HASH}'\n"
        );
        let printed = layers(&file, &[], vec![]).print();
        assert!(!printed.contains("thirty-two") && !printed.contains("argon2id"), "{printed}");
        assert!(
            printed.contains("[[auth.key]]\nsecret = \"***\"") && printed.contains("secret = \"${MY_SECRET}\""),
            "{printed}"
        );
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_without_the_secret() {
        mistakes(
            "[auth]\nsecret = 'hunter2'\njwks = ['http://id.example/jwks']\nuser_claim = ''\n[[auth.key]]\nkid = 'a'\n[[auth.key]]\nsecret = 5\n\
             [[auth.key]]\npublic = 'hunter2'\nalgorithm = ['HS256']\n[[auth.user]]\nname = 'ann'\npassword_hash = 'hunter2'\n[[auth.user]]\nname = 'bob'\n",
            &[
                "rowcast.toml:2: auth.secret: the secret has 7 bytes; one with fewer than 32 can be guessed: make one with `openssl rand -base64 48`, and give it to whoever signs the tokens, too",
                "rowcast.toml:3: auth.jwks: keys are fetched by https only: whoever is on the way could put keys of his own in it; write for example \"https://id.example.com/jwks.json\"",
                "rowcast.toml:4: auth.user_claim: the claim has no name; write for example \"sub\"",
                "rowcast.toml:6: auth.key[0].kid: a key is one of secret, public, private and jwk; write for example public = \"${file:key.pem}\"",
                "rowcast.toml:8: auth.key[1].secret: expected text; write it in quotes",
                "rowcast.toml:10: auth.key[2].public: there is no public key in it: it begins with -----BEGIN PUBLIC KEY-----; `openssl x509 -pubkey -noout -in certificate.pem` makes one of a certificate",
                "rowcast.toml:11: auth.key[2].algorithm: there is no such key; did you mean algorithms?",
                "rowcast.toml:14: auth.user[0].password_hash: it is not an argon2id hash; `rowcast password` makes one",
                "rowcast.toml:16: auth.user[1].name: a user has a name and a password_hash; `rowcast password` makes the hash",
            ],
        );
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        mistakes(
            "[auth]\njwks = ['https://id.example/jwks']\n",
            &[
                "rowcast.toml:2: auth.jwks: a provider signs tokens for others with the same keys, and all of them would be let in; set auth.audience, or auth.issuer, or both",
            ],
        );
        let user = format!("[[auth.user]]\nname = 'ann'\npassword_hash = '{HASH}'\n");
        let told = Config::read(&layers(&user, &[], vec![])).expect_err("no key").to_string();
        assert!(told.contains("auth.secret: there is no key to sign the tokens with"), "{told}");
    }

    #[test]
    fn the_examples_in_the_defaults_are_of_keys_that_there_are() {
        for (list, keys) in [("# [[auth.key]]", KEY_KEYS), ("# [[auth.user]]", USER_KEYS)] {
            let example =
                DEFAULT.lines().skip_while(|line| *line != list).skip(1).take_while(|line| line.starts_with('#'));
            let names: Vec<&str> =
                example.filter_map(|line| line.strip_prefix("# ")?.split_once(" = ")).map(|(name, _)| name).collect();
            let names: Vec<&&str> = names.iter().filter(|name| !name.starts_with('#')).collect();
            assert!(!names.is_empty() && names.iter().all(|name| keys.contains(name)), "{names:?}");
        }
    }
}
