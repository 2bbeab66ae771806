//! The process: what it finds when it starts, and how it ends.

use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use super::Shop;
use crate::client::{Message, WebSocket};
use crate::server::{DEADLINE, Server};

/// Starts a server that cannot be, and returns what it says to that.
async fn refusal(server: &Server) -> Result<String> {
    let mut command = server.command();
    command.stderr(Stdio::piped());
    let output = tokio::time::timeout(DEADLINE, command.output()).await.context("it does not end")??;
    let said = String::from_utf8(output.stderr)?;
    ensure!(!output.status.success(), "it ended well: {said}");
    ensure!(!said.contains("panicked"), "{said}");
    Ok(said)
}

#[tokio::test]
async fn a_log_in_use_is_refused_with_its_folder() -> Result<()> {
    let shop = Shop::open(&[]).await?;
    let said = refusal(&Server::new(shop.folder.path(), &[])).await?;
    ensure!(said.contains("data") && said.contains("another"), "{said}");
    ensure!(shop.server.http().get(shop.server.url("/readyz")).send().await?.status() == 200);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_not_there_is_refused_with_its_path() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let said = refusal(&Server::new(folder.path(), &[])).await?;
    ensure!(said.contains("app.db"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("app.db"), "this is text, and long enough to be read as a header ".repeat(50))?;
    let said = refusal(&Server::new(folder.path(), &[])).await?;
    ensure!(said.contains("app.db") || said.contains("database"), "{said}");
    Ok(())
}

#[tokio::test]
async fn sigterm_tells_every_client_when_to_come_back_and_ends_well() -> Result<()> {
    let shop = Shop::open(&[("shutdown.retry", "1234ms")]).await?;
    let mut socket = WebSocket::open(&shop.server).await?;
    shop.follow(&mut socket, "s").await?;
    let mut sse = shop.stream(&[("channel", "table:t")]).await?;
    let Message::Subscribed(_) = sse.next().await? else { bail!("not subscribed") };
    let (ended, goodbye, last) = tokio::join!(shop.server.terminate(), socket.read_to_end(), sse.next());
    ensure!(ended?.success());
    let (last_message, code) = goodbye?;
    ensure!(code == Some(1001), "{code:?}");
    let mut told = std::collections::BTreeSet::new();
    for message in [last_message.context("no goodbye")?, last?] {
        let Message::Close(close) = message else { bail!("not `close`: {message:?}") };
        // Each another time, within as long again.
        let differs = told.insert(close.retry_ms);
        ensure!(close.reason == "shutdown" && (1234..2468).contains(&close.retry_ms) && differs, "{close:?}");
    }
    shop.server.restart().await?;
    Ok(())
}
