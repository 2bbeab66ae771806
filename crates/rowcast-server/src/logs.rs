//! Log lines on standard error, as text or JSON.

use std::io::IsTerminal;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::config::Logging;

/// Installs the logger. Once for a process.
pub(crate) fn install(logging: &Logging) {
    let level = level(&logging.level);
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(colour && !logging.json);
    let lines = if logging.json { lines.json().flatten_event(true).boxed() } else { lines.with_target(false).boxed() };
    tracing_subscriber::registry().with(lines.with_filter(level)).init();
}

/// The story of the parts below is told only to who asks for it by name.
fn level(text: &str) -> Targets {
    let targets = match text.parse::<LevelFilter>() {
        Ok(level) => Targets::new().with_default(level.min(LevelFilter::INFO)).with_target("rowcast", level),
        Err(_) => text.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO)),
    };
    // The asset server tells every file at every start.
    if text.contains("memory_serve") { targets } else { targets.with_target("memory_serve", LevelFilter::WARN) }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn a_plain_level_is_ours_and_the_parts_below_stay_quiet() {
        assert!(level("debug").would_enable("rowcast::hub", &Level::DEBUG));
        assert!(!level("debug").would_enable("hyper_util::client", &Level::DEBUG));
        assert!(!level("error").would_enable("hyper_util::client", &Level::WARN));
        assert!(level("warn,hyper=trace").would_enable("hyper::proto", &Level::TRACE));
        assert!(!level("info").would_enable("memory_serve", &Level::INFO));
    }
}
