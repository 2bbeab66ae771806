//! From `[auth]` to what the gateway asks.

mod secret;

use std::path::Path;

use anyhow::Context;
use rowcast::auth::{Issuer, Key, Revocations, Seal, Tokens, Trust, Users};

use crate::config::{self, Config, RuleSpecs};

/// Where revocations are kept, and the key of `claims`, in the data folder.
const FOLDER: &str = "auth";

/// What the gateway asks who somebody is, with what was revoked. `None`: nobody is asked.
pub(crate) fn to_serve(config: &Config) -> anyhow::Result<Option<rowcast::auth::Auth>> {
    let Some(auth) = &config.auth else { return Ok(None) };
    let folder = config.data.join(FOLDER);
    let revocations = Revocations::open(&folder)
        .with_context(|| format!("what was revoked cannot be read from {}", folder.display()))?;
    let own = match issuer(auth) {
        None if config.chat.is_some() => Some(secret::kept_or_made(&folder)?),
        _ => None,
    };
    let (own, key) = own.unzip();
    Ok(Some(rowcast::auth::Auth {
        tokens: tokens(auth, key, revocations)?,
        rules: rules(config)?,
        users: Users::new(auth.users.clone())?,
        issuer: issuer(auth).transpose()?.or_else(|| own.map(|own| named(own, auth))),
        seal: Seal::open(&folder)
            .with_context(|| format!("the key of `claims` cannot be kept in {}", folder.display()))?,
        settings: auth.settings.clone(),
    }))
}

/// The chat's rules come first: no other one opens what is the chat's.
fn rules(config: &Config) -> anyhow::Result<rowcast::auth::rules::Rules> {
    let mut all = RuleSpecs { rules: Vec::new(), ..config.rules.clone() };
    if config.chat.is_some() {
        all.rules = rowcast_chat::rules();
    }
    all.rules.extend(config.rules.rules.iter().cloned());
    // They were read once before, when mistakes were told.
    all.to_rules().map_err(|wrong| anyhow::anyhow!("{wrong:?}"))
}

/// What verifies tokens without a server: with what was revoked, where there is such a file.
pub(crate) fn to_explain(config: &config::Auth, data: &Path) -> anyhow::Result<Tokens> {
    let folder = data.join(FOLDER);
    let revocations = if folder.is_dir() { Revocations::open(&folder)? } else { Revocations::default() };
    let own = if issuer(config).is_none() { secret::kept(&folder)? } else { None };
    tokens(config, own.map(|(_, key)| key), revocations)
}

/// The first key that signs. `None`: there is none.
pub(crate) fn issuer(config: &config::Auth) -> Option<anyhow::Result<Issuer>> {
    let issuer = config.keys.iter().find_map(config::Key::issuer)?;
    Some(issuer.map_err(Into::into).map(|issuer| named(issuer, config)))
}

fn named(mut issuer: Issuer, config: &config::Auth) -> Issuer {
    issuer.ttl = config.ttl;
    issuer.issuer = config.expect.issuers.first().cloned();
    issuer.audience = config.expect.audiences.first().cloned();
    issuer
}

fn tokens(config: &config::Auth, own: Option<Key>, revocations: Revocations) -> anyhow::Result<Tokens> {
    let mut keys: Vec<Key> = own.into_iter().collect();
    for key in &config.keys {
        keys.extend(key.verifiers()?);
    }
    let (key_sets, expect) = (config.key_sets.clone(), config.expect.clone());
    Ok(Tokens::new(Trust { keys, key_sets, expect, revocations }))
}
