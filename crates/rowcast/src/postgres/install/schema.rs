//! Schema `rowcast`, and in it the list of what was made.

use tokio_postgres::Client;

use super::InstallError;

/// Makes the schema and the list.
pub(super) async fn plan(client: &Client) -> Result<Vec<String>, InstallError> {
    let mut plan = Vec::new();
    if is_made(client).await? {
        return Ok(plan);
    }
    let exists = client.query_one("SELECT to_regnamespace('rowcast') IS NOT NULL", &[]).await?.get::<_, bool>(0);
    if !exists {
        plan.push("CREATE SCHEMA rowcast".to_owned());
    }
    plan.push("GRANT USAGE ON SCHEMA rowcast TO PUBLIC".to_owned());
    plan.push(
        "-- What `rowcast teardown` has to take back.\n\
         CREATE TABLE rowcast.made (kind text, name text, was text, PRIMARY KEY (kind, name))"
            .to_owned(),
    );
    plan.push("GRANT SELECT ON rowcast.made TO PUBLIC".to_owned());
    if !exists {
        plan.push(made("schema", "rowcast", None));
    }
    Ok(plan)
}

/// Whether the list is there.
pub(super) async fn is_made(client: &Client) -> Result<bool, InstallError> {
    Ok(client.query_one("SELECT to_regclass('rowcast.made') IS NOT NULL", &[]).await?.get(0))
}

/// What was made, by kind.
pub(super) async fn all_made(client: &Client, kind: &str) -> Result<Vec<(String, Option<String>)>, InstallError> {
    if !is_made(client).await? {
        return Ok(Vec::new());
    }
    let rows = client.query("SELECT name, was FROM rowcast.made WHERE kind = $1 ORDER BY name", &[&kind]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Writes down that something was made.
pub(super) fn made(kind: &str, name: &str, was: Option<&str>) -> String {
    let was = was.map_or("NULL".to_owned(), literal);
    format!(
        "INSERT INTO rowcast.made (kind, name, was) VALUES ({}, {}, {was}) ON CONFLICT DO NOTHING",
        literal(kind),
        literal(name)
    )
}

/// Forgets that something was made.
pub(super) fn unmade(kind: &str, name: &str) -> String {
    format!("DELETE FROM rowcast.made WHERE kind = {} AND name = {}", literal(kind), literal(name))
}

/// A text as SQL.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// A name as SQL, quoted where it might need to be.
pub(super) fn ident(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_lowercase());
    // Words of SQL that somebody could want as a name.
    let word = ["all", "table", "user", "group", "order", "default", "select", "for", "to"].contains(&name);
    if plain && !word { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
