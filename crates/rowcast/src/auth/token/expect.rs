//! What a token has to say, once its signature is known to be right.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};

use super::super::{Identity, Standing};
use super::Refusal;

/// What a token has to say.
#[derive(Debug, Clone)]
pub struct Expect {
    /// Who may have made it (`iss`): one of these. Empty: anybody who has the key.
    pub issuers: Vec<String>,
    /// Whom it has to be for (`aud`): one of these. Empty: anybody.
    pub audiences: Vec<String>,
    /// How far the clock of who made it may be from ours.
    pub leeway: Duration,
    /// Whether it has to expire.
    pub must_expire: bool,
    /// The longest time from `iat` to `exp`. `None`: any.
    pub life_max: Option<Duration>,
    /// The claim that names the user; one that begins with a slash is a path into claims: `/app_metadata/user`.
    pub user: String,
    /// The claim that names the tenant, in the same way. `None`: there are no tenants.
    pub tenant: Option<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::from_secs(30),
            must_expire: true,
            life_max: None,
            user: "sub".into(),
            tenant: None,
        }
    }
}

/// The end of the year 9999. Later moments are mistakes, or attempts at arithmetic.
const MOMENT_MAX: f64 = 253_402_300_799.0;

const USER_BYTES_MAX: usize = 256;

const TENANT_BYTES_MAX: usize = 64;

impl Expect {
    /// Who the bearer is, or why not.
    pub(super) fn identity(&self, claims: Map<String, Json>, now: SystemTime) -> Result<Identity, Refusal> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let (expires, issued) = self.times(&claims, now)?;
        self.names(&claims)?;
        let user = match found(&claims, &self.user) {
            None => None,
            Some(Json::String(user)) if is_name(user, USER_BYTES_MAX) => Some(user.as_str().into()),
            Some(_) => return Err(Refusal::invalid(format!("its `{}` is not the name of a user", self.user))),
        };
        let tenant: Arc<str> = match &self.tenant {
            None => "".into(),
            Some(claim) => match found(&claims, claim).and_then(Json::as_str) {
                Some(tenant) if is_tenant(tenant) => tenant.into(),
                _ => return Err(Refusal::invalid(format!("its `{claim}` is not the name of a tenant"))),
            },
        };
        let expires = expires.map(|expires| UNIX_EPOCH + Duration::from_secs_f64(expires));
        let issued = issued.map(|issued| issued as u64);
        Ok(Identity { standing: Standing::Known, claims, tenant, user, issued, expires, key: None })
    }

    /// `exp` and `iat`, of a token whose time it is.
    fn times(&self, claims: &Map<String, Json>, now: f64) -> Result<(Option<f64>, Option<f64>), Refusal> {
        let leeway = self.leeway.as_secs_f64();
        let (expires, begins, issued) = (moment(claims, "exp")?, moment(claims, "nbf")?, moment(claims, "iat")?);
        match expires {
            None if self.must_expire => return Err(Refusal::invalid("it has no `exp`: it would never expire")),
            Some(expires) if now >= expires + leeway => return Err(Refusal::expired()),
            _ => {}
        }
        if begins.is_some_and(|begins| begins > now + leeway) {
            return Err(Refusal::early("its `nbf` is still to come"));
        }
        if issued.is_some_and(|issued| issued > now + leeway) {
            return Err(Refusal::early("its `iat` is still to come: one of the two clocks is wrong"));
        }
        if let Some(longest) = self.life_max {
            match (issued, expires) {
                (Some(issued), Some(expires)) if expires - issued <= longest.as_secs_f64() => {}
                (Some(_), Some(_)) => {
                    return Err(Refusal::invalid("it lives longer, from `iat` to `exp`, than is accepted"));
                }
                _ => return Err(Refusal::invalid("it needs `iat` and `exp`, because its life is limited")),
            }
        }
        Ok((expires, issued))
    }

    /// `iss` and `aud`.
    fn names(&self, claims: &Map<String, Json>) -> Result<(), Refusal> {
        let accepted =
            |list: &[String], name: &Json| name.as_str().is_some_and(|name| list.iter().any(|one| one == name));
        if !self.issuers.is_empty() && !claims.get("iss").is_some_and(|issuer| accepted(&self.issuers, issuer)) {
            return Err(Refusal::invalid("its `iss` is missing, or none that is accepted"));
        }
        let for_us = match claims.get("aud") {
            Some(Json::Array(audiences)) if audiences.iter().all(Json::is_string) => {
                audiences.iter().any(|audience| accepted(&self.audiences, audience))
            }
            Some(audience @ Json::String(_)) => accepted(&self.audiences, audience),
            None => false,
            Some(_) => return Err(Refusal::invalid("its `aud` is neither a text nor a list of texts")),
        };
        if !self.audiences.is_empty() && !for_us {
            return Err(Refusal::invalid("its `aud` is missing, or none that is accepted"));
        }
        Ok(())
    }
}

/// A claim by its name, or by a path.
fn found<'a>(claims: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let mut parts = path.split('/');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |json, part| json.as_object()?.get(part))
}

/// Seconds since 1970, with fractions perhaps.
fn moment(claims: &Map<String, Json>, name: &str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(moment) if (0.0..=MOMENT_MAX).contains(&moment) => Ok(Some(moment)),
            _ => Err(Refusal::invalid(format!("its `{name}` is not a number of seconds since 1970"))),
        },
    }
}

fn is_name(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Whether a text can name a tenant: 1 to 64 of letters, digits, `.`, `_` and `-`.
fn is_tenant(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=TENANT_BYTES_MAX).contains(&text.len()) && text.chars().all(plain)
}
