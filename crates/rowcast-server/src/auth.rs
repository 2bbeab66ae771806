//! From `[auth]` to what the gateway asks.

use std::path::Path;

use anyhow::Context;
use rowcast::auth::{Issuer, Revocations, Tokens, Trust, Users};

use crate::config::{self, RuleSpecs};

/// Where revocations are kept, in the data folder.
const FOLDER: &str = "auth";

/// What the gateway asks who somebody is, with what was revoked.
pub(crate) fn to_serve(config: &config::Auth, rules: &RuleSpecs, data: &Path) -> anyhow::Result<rowcast::auth::Auth> {
    // They were read once before, when mistakes were told.
    let rules = rules.to_rules().map_err(|wrong| anyhow::anyhow!("{wrong:?}"))?;
    let folder = data.join(FOLDER);
    let revocations = Revocations::open(&folder)
        .with_context(|| format!("what was revoked cannot be read from {}", folder.display()))?;
    Ok(rowcast::auth::Auth {
        tokens: tokens(config, revocations)?,
        rules,
        users: Users::new(config.users.clone())?,
        issuer: issuer(config).transpose()?,
        settings: config.settings.clone(),
    })
}

/// What verifies tokens without a server: with what was revoked, where there is such a file.
pub(crate) fn to_explain(config: &config::Auth, data: &Path) -> anyhow::Result<Tokens> {
    let folder = data.join(FOLDER);
    let revocations = if folder.is_dir() { Revocations::open(&folder)? } else { Revocations::default() };
    tokens(config, revocations)
}

/// The first key that signs. `None`: there is none.
pub(crate) fn issuer(config: &config::Auth) -> Option<anyhow::Result<Issuer>> {
    let issuer = config.keys.iter().find_map(config::Key::issuer)?;
    let (issuers, audiences) = (&config.expect.issuers, &config.expect.audiences);
    Some(issuer.map_err(Into::into).map(|mut issuer| {
        issuer.ttl = config.ttl;
        issuer.issuer = issuers.first().cloned();
        issuer.audience = audiences.first().cloned();
        issuer
    }))
}

fn tokens(config: &config::Auth, revocations: Revocations) -> anyhow::Result<Tokens> {
    let mut keys = Vec::new();
    for key in &config.keys {
        keys.extend(key.verifiers()?);
    }
    let (key_sets, expect) = (config.key_sets.clone(), config.expect.clone());
    Ok(Tokens::new(Trust { keys, key_sets, expect, revocations }))
}
