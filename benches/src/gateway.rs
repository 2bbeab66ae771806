//! Rowcast on a database with the table `ticks`, in a process of its own.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use axum::serve::ListenerExt;
use rowcast::gateway::{Database, Gateway, LogPlace};

use crate::Scale;
use crate::process::Server;

/// The database in a bench's folder.
pub(crate) const DATABASE: &str = "app.db";

/// Starts Rowcast on the database in `folder`: the library's gateway, or the binary where one was named.
pub(crate) fn start(scale: &Scale, folder: &Path) -> Result<Server> {
    match &scale.binary {
        Some(program) => Server::binary(program, &folder.join(DATABASE), &folder.join("data")),
        None => Server::start(&["rowcast", &folder.display().to_string()]),
    }
}

/// What the process does: the library's gateway behind axum's own server.
pub(crate) async fn serve(folder: &Path) -> Result<()> {
    let gateway = Gateway::builder()
        .database(Database::sqlite("app", folder.join(DATABASE), Default::default()))
        .log(LogPlace::Directory(folder.join("log"), Default::default()))
        .start()
        .await?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening {}", listener.local_addr()?);
    let listener = listener.tap_io(|socket| _ = socket.set_nodelay(true));
    let app = gateway.router().into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, app).await?;
    Ok(())
}
