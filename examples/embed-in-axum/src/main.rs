//! Rowcast inside a program of your own: one router of axum beside your own routes.
//!
//! ```sh
//! cargo run -p embed-in-axum
//! curl -N 'http://localhost:4000/v1/stream?channel=table:notes' &
//! curl -d text=hello http://localhost:4000/notes
//! ```

use std::net::SocketAddr;

use axum::extract::{RawForm, State};
use axum::routing::post;
use axum::{Router, http::StatusCode};
use rowcast::event::TableName;
use rowcast::gateway::{Database, Gateway, LogPlace};
use rowcast::ingest::Ingest;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = rusqlite::Connection::open("notes.db")?;
    database.execute_batch("create table if not exists notes(id integer primary key, text text not null)")?;

    let gateway = Gateway::builder()
        .database(Database::sqlite("notes", "notes.db", Default::default()))
        .log(LogPlace::Directory("notes-log".into(), Default::default()))
        .start()
        .await?;

    let app = Router::new().route("/notes", post(add_note)).with_state(gateway.ingest()).merge(gateway.router());

    let listener = tokio::net::TcpListener::bind("127.0.0.1:4000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async { _ = tokio::signal::ctrl_c().await })
        .await?;
    gateway.stop().await;
    Ok(())
}

/// An ordinary handler of the application: it writes a row, and everybody who follows the table sees it.
async fn add_note(State(ingest): State<Ingest>, RawForm(form): RawForm) -> (StatusCode, String) {
    let text = form.strip_prefix(b"text=").unwrap_or(&form);
    let row = serde_json::json!({ "text": String::from_utf8_lossy(text) });
    match ingest.json(&TableName::bare("notes"), &row.to_string()).await {
        Ok(report) => (StatusCode::CREATED, format!("{} stored\n", report.count)),
        Err(failure) => (StatusCode::SERVICE_UNAVAILABLE, format!("{failure}\n")),
    }
}
