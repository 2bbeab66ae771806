//! `rowcast token`: makes tokens to try things with, and explains those that others make.

mod moment;

use std::fmt::Write;
use std::io::Read;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail};
use rowcast::auth::{Identity, Refusal, unverified};
use serde_json::{Map, Value as Json};

use crate::cli::{MakeToken, OfToken, Token};
use crate::config::{self, Config};
use crate::{auth, say};

/// `rowcast token`. Whether the token is accepted is the exit code of `explain`.
pub(crate) async fn run(config: &Config, asked: &Token) -> anyhow::Result<ExitCode> {
    let Some(auth) = &config.auth else {
        bail!("there is no key in the configuration: write auth.secret, auth.jwks or [[auth.key]]");
    };
    match &asked.what {
        OfToken::Make(asked) => make(config, auth, asked).await,
        OfToken::Explain { token } => explain(config, auth, token.as_deref()).await,
    }
}

async fn make(config: &Config, auth: &config::Auth, asked: &MakeToken) -> anyhow::Result<ExitCode> {
    let Some(issuer) = auth::issuer(auth) else {
        bail!("no key of the configuration can sign: write auth.secret, or a `private` or `secret` in [[auth.key]]");
    };
    let mut issuer = issuer?;
    issuer.ttl = asked.ttl.unwrap_or(auth.ttl);
    let mut claims = Map::new();
    claims.extend(asked.sub.as_deref().map(|sub| ("sub".to_owned(), Json::from(sub))));
    claims.extend(asked.claims.iter().cloned());
    let token = issuer.issue(claims, SystemTime::now())?;
    let tokens = crate::auth::to_explain(auth, &config.data)?;
    if let Err(refusal) = tokens.examine(&token, SystemTime::now()).await {
        eprintln!("-- the server will refuse this token: {refusal}");
    }
    say(&format!("{token}\n"));
    Ok(ExitCode::SUCCESS)
}

async fn explain(config: &Config, auth: &config::Auth, token: Option<&str>) -> anyhow::Result<ExitCode> {
    let token = match token {
        Some(token) if token != "-" => token.to_owned(),
        _ => {
            let mut text = String::new();
            std::io::stdin().take(1 << 20).read_to_string(&mut text).context("the token cannot be read")?;
            text
        }
    };
    // As people paste it.
    let token = token.trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token);
    let now = SystemTime::now();
    let tokens = auth::to_explain(auth, &config.data)?;
    tokens.fetch().await;
    let examined = tokens.examine(token, now).await;
    let mut text = said(token, now);
    verdict(&mut text, &examined, &tokens.known_keys());
    say(&text);
    Ok(if examined.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What a token says, accepted or not.
fn said(token: &str, now: SystemTime) -> String {
    let mut text = String::new();
    let Some((header, claims)) = unverified(token) else {
        return "This is not a token: its first two parts are not JSON in base64url.\n".into();
    };
    for (title, map) in [("header", header), ("claims", claims)] {
        let _ = writeln!(text, "{title}");
        let width = map.keys().map(|name| name.chars().count()).max().unwrap_or(0);
        for (name, value) in &map {
            let is_moment = matches!(name.as_str(), "exp" | "nbf" | "iat" | "auth_time");
            let words = value.as_f64().filter(|_| is_moment).and_then(|seconds| moment::words(seconds, now));
            let shown = match (value, words) {
                (_, Some(words)) => format!("{value}  {words}"),
                (Json::String(text), None) => clean(text),
                (value, None) => value.to_string(),
            };
            let _ = writeln!(text, "  {}{}  {shown}", clean(name), " ".repeat(width - name.chars().count()));
        }
    }
    text
}

fn verdict(text: &mut String, examined: &Result<std::sync::Arc<Identity>, Refusal>, keys: &[std::sync::Arc<str>]) {
    let _ = match examined {
        Ok(identity) => {
            let user = identity.user.as_deref().map_or("no user".into(), |user| format!("user {}", clean(user)));
            let tenant =
                if identity.tenant.is_empty() { String::new() } else { format!(", tenant {}", identity.tenant) };
            let key = identity.key.as_deref().unwrap_or_default();
            writeln!(text, "accepted: {user}{tenant}, signed by the key {}", clean(key))
        }
        Err(refusal) => {
            let known: Vec<String> = keys.iter().map(|key| clean(key)).collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            writeln!(
                text,
                "refused: {refusal}\n  the client is told: {}\n  keys that are known: {known}",
                refusal.rejected
            )
        }
    };
}

/// Nothing in a token moves the terminal's cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
