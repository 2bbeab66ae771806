//! What the user sees of it: a bar while it runs where there is a terminal, and a summary.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use rowcast::event::TableName;
use rowcast::ingest::load::Loaded;

use super::input::Input;

/// Everything that is shown goes to standard error.
pub(super) struct Show {
    bar: ProgressBar,
    quiet: bool,
    begun: Instant,
}

impl Show {
    pub(super) fn begin(inputs: &[Input], quiet: bool) -> Self {
        let bytes: Option<u64> = inputs.iter().map(Input::size).sum();
        let bar = match bytes {
            _ if quiet => ProgressBar::hidden(),
            // Nothing is drawn where standard error is no terminal.
            Some(bytes) => ProgressBar::new(bytes)
                .with_style(style("{bar:30} {percent}%  {bytes}/{total_bytes}  {msg}  {eta} left")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}  {elapsed}")),
        };
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, quiet, begun: Instant::now() }
    }

    pub(super) fn bar(&self) -> &ProgressBar {
        &self.bar
    }

    /// So many rows are stored by now.
    pub(super) fn rows(&self, stored: u64) {
        self.bar.set_message(format!("{} rows  {}/s", HumanCount(stored), HumanCount(self.rate(stored))));
    }

    fn rate(&self, rows: u64) -> u64 {
        (rows as f64 / self.begun.elapsed().as_secs_f64().max(0.001)) as u64
    }

    pub(super) fn end(&self, table: &TableName, loaded: &Loaded) {
        self.bar.finish_and_clear();
        if !self.quiet {
            let seconds = self.begun.elapsed().as_secs_f64();
            let before = match loaded.before {
                0 => String::new(),
                before => format!("; {} were stored or rejected before", HumanCount(before)),
            };
            let rate = HumanCount(self.rate(loaded.stored));
            eprintln!("{} rows stored in {table} in {seconds:.1} s ({rate}/s){before}", HumanCount(loaded.stored));
        }
        if loaded.rejected > 0 {
            eprintln!("{} rejected:", HumanCount(loaded.rejected));
            loaded.listed.iter().for_each(|row| eprintln!("  line {}: {}", row.line, row.reason));
            if loaded.rejected > loaded.listed.len() as u64 {
                eprintln!("  …");
            }
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is right")
}
