//! The command line: what can be asked, and what `--help` says about it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Flags;

const LONG_ABOUT: &str = "\
Rowcast makes a SQL database live in every browser.

It reads the committed changes of a database's tables, whoever makes them, keeps them in one
ordered, durable log, and carries them to browsers and programs over WebSocket and Server-Sent
Events: first the rows that match, then every change, none missing, none twice, across disconnects
and restarts.";

const AFTER_HELP: &str = "\
Examples:
  rowcast demo                                 a live chart, out of nothing
  rowcast serve --database postgres://localhost/shop   your own tables, on http://127.0.0.1:3000
  rowcast serve --database sqlite:shop.db      the same of a file
  rowcast doctor --database postgres://localhost/shop  what stands in the way, and the SQL that mends it
  rowcast tail readings --where 'speed > 40'   changes in the terminal as they happen

Environment:
  ROWCAST__SECTION__KEY   sets a key of the configuration: ROWCAST__LIMITS__FRAME_BYTES=64KiB
  ROWCAST_CONFIG          the configuration file
  ROWCAST_URL             the server that `rowcast tail` reads from
  NO_COLOR                no colours in the terminal

What is set later wins: defaults, file, environment, flags. `rowcast config` prints what holds
and why, `rowcast config --default` every key with its meaning.";

/// What the user asked for.
#[derive(Debug, Parser)]
#[command(name = "rowcast", version, about = "A SQL database, live in every browser", long_about = LONG_ABOUT, after_help = AFTER_HELP)]
#[command(arg_required_else_help = true, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
pub(crate) struct Common {
    /// The folder for what Rowcast keeps [default: rowcast-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// An address to serve on; may be given several times [default: 127.0.0.1:3000]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    listen: Vec<String>,
    /// The database: postgres://user@host/name, sqlite:path, or a path that ends in .db or .sqlite
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<String>,
    /// Only these tables, with * and ? as wildcards [default: all]
    #[arg(long, global = true, value_name = "A,B", value_delimiter = ',')]
    tables: Vec<String>,
    /// The configuration file [default: ./rowcast.toml where there is one]
    #[arg(long, global = true, value_name = "FILE", env = "ROWCAST_CONFIG", hide_env = true)]
    pub(crate) config: Option<PathBuf>,
    /// How log lines look, on standard error [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// error, warn, info, debug or trace; or by part: info,rowcast=debug [default: info]
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the tables of a database live
    Serve,
    /// Show a live chart with a database and a stream of its own
    Demo(Demo),
    /// Print the changes of a table as they are committed, from a server or straight from a --database
    Tail(Box<Tail>),
    /// Examine a database: what is captured and how, what stands in the way, and the SQL that mends it
    Doctor(Doctor),
    /// Install in a database what capturing its changes needs, and print the SQL
    Setup(Capture),
    /// Remove from a database everything that setup installed, and print the SQL
    Teardown(Teardown),
    /// Print the configuration that holds, and where each value comes from
    Config(ShowConfig),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Milliseconds from one reading of the built-in simulator to the next
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    pub(crate) rate_ms: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The table; or, where --table names it, which rows
    #[arg(value_name = "TABLE", required_unless_present = "table")]
    what: Option<String>,
    /// Which rows: SQL's WHERE over the table's columns, such as 'speed > 40 and city is not null'
    #[arg(long = "where", short = 'w', value_name = "FILTER")]
    filter: Option<String>,
    /// The table
    #[arg(long, short, value_name = "TABLE")]
    table: Option<String>,
    /// The server [default: http://localhost:3000]
    #[arg(long, value_name = "URL", env = "ROWCAST_URL", hide_env = true)]
    pub(crate) url: Option<reqwest::Url>,
    /// Begin after this position, as printed behind the @
    #[arg(long, value_name = "POSITION")]
    pub(crate) since: Option<rowcast::event::Position>,
    /// Print each change as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Print the rows that are there first
    #[arg(long)]
    pub(crate) snapshot: bool,
    /// Only these columns
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// End after so many changes
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) count: Option<u64>,
}

impl Tail {
    /// The table.
    pub(crate) fn table(&self) -> &str {
        self.table.as_deref().or(self.what.as_deref()).unwrap_or_default()
    }

    /// Which of its rows.
    pub(crate) fn filter(&self) -> Option<&str> {
        let beside_table = self.what.as_deref().filter(|_| self.table.is_some());
        self.filter.as_deref().or(beside_table)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print the findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Capture {
    /// Only print the SQL
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Teardown {
    /// Only print the SQL
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowConfig {
    /// Print the defaults instead, with what each key means
    #[arg(long)]
    pub(crate) default: bool,
}

impl Common {
    /// The keys that the flags set.
    pub(crate) fn flags(&self) -> Flags {
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        let format = self.log_format.map(|format| match format {
            LogFormat::Text => "text".to_owned(),
            LogFormat::Json => "json".to_owned(),
        });
        let data = self.data.as_ref().map(|data| data.display().to_string());
        let flags = [
            ("--listen", "listen", self.listen.clone()),
            ("--data", "data", one(&data)),
            ("--database", "database.url", one(&self.database)),
            ("--tables", "database.include", self.tables.clone()),
            ("--log-format", "logging.format", one(&format)),
            ("--log-level", "logging.level", one(&self.log_level)),
        ];
        flags.into_iter().filter(|(_, _, values)| !values.is_empty()).collect()
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_rows_to_tail_are_named_in_two_ways() {
        for words in [&["tail", "orders", "--where", "id > 1"][..], &["tail", "id > 1", "--table", "orders"]] {
            let Command::Tail(tail) = Cli::parse_from([&["rowcast"], words].concat()).command else {
                panic!("tail is tail");
            };
            assert_eq!((tail.table(), tail.filter()), ("orders", Some("id > 1")));
        }
        assert!(Cli::try_parse_from(["rowcast", "tail"]).is_err());
    }

    #[test]
    fn flags_stand_before_and_after_the_command() {
        let cli = Cli::parse_from(["rowcast", "--listen", "a:1", "serve", "--data", "d"]);
        assert_eq!(
            cli.common.flags(),
            vec![("--listen", "listen", vec!["a:1".into()]), ("--data", "data", vec!["d".into()])]
        );
    }
}
