//! What is captured of a PostgreSQL and how, what stands in the way, and the SQL that mends it.
//!
//! Reads and changes nothing. What it says, people and programs read: `rowcast doctor`.

mod server;
mod slots;
mod tables;

use tokio_postgres::Client;

pub use crate::event::finding::{Finding, State};

use crate::event::finding::Findings;

use super::{Address, ConnectError, PostgresSettings};

/// Looks at everything. Fails only where nothing can be asked.
pub async fn examine(address: &Address, settings: &PostgresSettings) -> Result<Vec<Finding>, ConnectError> {
    let client = address.connect("rowcast doctor").await?;
    let mut findings = Findings::default();
    let looked = look(address, &client, settings, &mut findings).await;
    if let Err(error) = looked {
        findings.add(State::Broken, "examination", format!("it could not be finished: {}", told(&error)));
    }
    Ok(findings.0)
}

async fn look(
    address: &Address,
    client: &Client,
    settings: &PostgresSettings,
    findings: &mut Findings,
) -> Result<(), tokio_postgres::Error> {
    let server = server::look(address, client, settings, findings).await?;
    slots::look(client, settings, &server, findings).await?;
    tables::look(client, settings, &server, findings).await
}

/// What the server said, for people.
fn told(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}

/// Bytes for people.
fn shown(bytes: i64) -> String {
    let mut size = bytes as f64;
    let mut units = ["bytes", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size.abs() < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    if unit == "bytes" { format!("{bytes} bytes") } else { format!("{size:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(
            [0, 1023, 1024, 16 << 20, 3 << 30].map(shown),
            ["0 bytes", "1023 bytes", "1.0 KiB", "16.0 MiB", "3.0 GiB"]
        );
    }
}
