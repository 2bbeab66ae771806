//! Real Socket.IO clients, of npm since 1.7 and of Python, on each transport. What they do is in `tests/peers`; npm's own servers pass it.

mod rows;
mod stage;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::peer::{node, python};
use crate::server::DEADLINE;

/// With a server of the library's, which a program makes.
async fn npm(client: &str, transport: &str) -> Result<()> {
    let (plain, recovering) = (stage::start(None).await?, stage::start(Some(Duration::from_secs(120))).await?);
    passes(node("client.cjs", &[client, transport, "rowcast", &plain, &recovering])?).await
}

async fn snake(transport: &str) -> Result<()> {
    passes(python("client.py", &[transport, "rowcast", &stage::start(None).await?])?).await
}

/// One test for each transport.
macro_rules! on_every_transport {
    ($($name:ident: $run:expr;)*) => {
        $(mod $name {
            use super::*;

            #[tokio::test]
            async fn polls() -> Result<()> {
                ($run)("polling").await
            }

            #[tokio::test]
            async fn has_a_websocket() -> Result<()> {
                ($run)("websocket").await
            }

            #[tokio::test]
            async fn goes_from_polling_to_a_websocket() -> Result<()> {
                ($run)("upgrade").await
            }
        })*
    };
}

on_every_transport! {
    npm_1_7: |transport| npm("socket.io-client-1", transport);
    npm_2_5: |transport| npm("socket.io-client-2", transport);
    npm_3_1: |transport| npm("socket.io-client-3", transport);
    npm_4_8: |transport| npm("socket.io-client", transport);
    python: snake;
}

#[tokio::test]
async fn what_no_client_of_3_x_and_4_x_says_ends_as_with_npms_server() -> Result<()> {
    passes(node("malformed.cjs", &["4", &stage::start(None).await?])?).await
}

#[tokio::test]
async fn what_no_client_of_1_x_and_2_x_says_ends_as_with_npms_server() -> Result<()> {
    passes(node("malformed.cjs", &["3", &stage::start(None).await?])?).await
}

/// Runs a program of scenarios to its end; all it said, where one went wrong.
async fn passes(mut command: Command) -> Result<()> {
    let output = tokio::time::timeout(DEADLINE * 2, command.output()).await.context("it does not end")??;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n");
    ensure!(output.status.success() && said.contains("ok - "), "{}:\n{said}", output.status);
    Ok(())
}
