//! Log lines on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::Logging;

/// Installs the logger. Once for a process.
pub(crate) fn install(logging: &Logging) {
    let level: Targets = logging.level.parse().unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    // The asset server tells every file at every start.
    let level = if logging.level.contains("memory_serve") {
        level
    } else {
        level.with_target("memory_serve", tracing::Level::WARN)
    };
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour && !logging.json);
    let lines = if logging.json { lines.json().flatten_event(true).boxed() } else { lines.with_target(false).boxed() };
    tracing_subscriber::registry().with(lines.with_filter(level)).init();
}
