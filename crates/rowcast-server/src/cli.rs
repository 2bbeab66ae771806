//! The command line: what can be asked, and what `--help` says about it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::bench::Bench;
use crate::config::{self, Flags};
use crate::simulate::{Chunks, FieldName, Kind, Shape};

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
  rowcast simulate                             a stream to try things with, on http://127.0.0.1:4000/stream
  rowcast dead-letters retry --source car --database sqlite:shop.db   what was refused, once more
  rowcast tail readings --where 'speed > 40'   changes in the terminal as they happen
  rowcast ingest --table readings --database sqlite:shop.db readings.csv.gz   rows of a file
  rowcast token make --sub ann --claim tenant=acme   a token, to try things with
  rowcast bench --quick                        delivery beside a floor and npm's servers

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
    /// Serve, publish or insert the measurements of sensors that are not there
    Simulate(Box<Simulate>),
    /// Print the changes of a table as they are committed, from a server or straight from a --database
    Tail(Box<Tail>),
    /// Store the rows of files, or of standard input, in a table: of a --database, or through a server
    Ingest(Box<Ingest>),
    /// Examine a database: what is captured and how, what stands in the way, and the SQL that mends it
    Doctor(Doctor),
    /// Install in a database what capturing its changes needs, and print the SQL
    Setup(Capture),
    /// Remove from a database everything that setup installed, and print the SQL
    Teardown(Teardown),
    /// Show what was refused of the streams and requests that came in; mend and store it, or drop it
    DeadLetters(DeadLetters),
    /// Measure delivery beside a floor and npm's servers, or any server: processor time, delays, memory
    Bench(Box<Bench>),
    /// The floor of `bench`; stops when its standard input ends
    #[command(hide = true)]
    BenchFloor,
    /// Make a token, or explain one: what it says, and whether this configuration accepts it
    Token(Token),
    /// Read a password, and print the hash that [[auth.user]] takes
    Password,
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
#[command(after_help = SIMULATE_HELP)]
pub(crate) struct Simulate {
    /// Records a second
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = rate)]
    pub(crate) rate: f64,
    /// Record n is of sensor n modulo so many; more than one: each record says whose it is
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sensors: u32,
    /// What is measured
    #[arg(long, value_name = "SHAPE", default_value = "seed")]
    pub(crate) wave: Shape,
    /// The least value
    #[arg(long, value_name = "N", default_value_t = 0.0, allow_negative_numbers = true)]
    pub(crate) min: f64,
    /// The greatest value
    #[arg(long, value_name = "N", default_value_t = 50.0, allow_negative_numbers = true)]
    pub(crate) max: f64,
    /// The period of sine, step and drift
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) period: Duration,
    /// Digits behind the point
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=9))]
    pub(crate) decimals: u8,
    /// The fields of a record, of time, speed, sensor and seq (its number); speed=temperature renames one
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) fields: Vec<FieldName>,
    /// Write time and speed as numbers instead of text
    #[arg(long)]
    pub(crate) numbers: bool,
    /// Record n is always the same for a seed; with a seed records have their number, seq
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Leave streams open after the last record; a stream that ends is fetched again
    #[arg(long, requires = "count")]
    pub(crate) hold: bool,
    /// The first record, where they are not served
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from: u64,

    /// The share of malformed records: 0.01 is one in a hundred
    #[arg(long, value_name = "SHARE", default_value_t = 0.0, value_parser = share, help_heading = "Trouble")]
    pub(crate) malformed: f64,
    /// What is wrong with them [default: all but huge]
    #[arg(long, value_name = "A,B", value_delimiter = ',', help_heading = "Trouble")]
    pub(crate) kinds: Vec<Kind>,
    /// How lines lie in the chunks of the body
    #[arg(long, value_name = "HOW", default_value = "whole", help_heading = "Trouble")]
    pub(crate) chunks: Chunks,
    /// Records come up to so much later than they are due
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, help_heading = "Trouble")]
    pub(crate) jitter: Duration,
    /// Each cycle has one burst and one gap
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration, help_heading = "Trouble")]
    pub(crate) cycle: Duration,
    /// For so long records come faster
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, help_heading = "Trouble")]
    pub(crate) burst: Duration,
    /// How many times as fast
    #[arg(long, value_name = "N", default_value_t = 10.0, value_parser = rate, help_heading = "Trouble")]
    pub(crate) burst_times: f64,
    /// For so long none come
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration, help_heading = "Trouble")]
    pub(crate) gap: Duration,
    /// End each client's stream after so long
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Trouble")]
    pub(crate) close_after: Option<Duration>,

    /// All clients are sent the same records, each at its moment; who comes late or again can have what it missed
    #[arg(long, help_heading = "To compare")]
    shared: bool,
    /// When record 0 of them all was due, in milliseconds since 1970 [default: now]
    #[arg(long, value_name = "MS", help_heading = "To compare")]
    pub(crate) start_at: Option<u64>,
    /// Append to a file which records were emitted, good or malformed
    #[arg(long, value_name = "FILE", help_heading = "To compare")]
    pub(crate) ledger: Option<PathBuf>,

    /// Publish to a broker instead: mqtt://host:1883/topic, where {sensor} is the sensor's name
    #[arg(long, value_name = "URL", help_heading = "Instead of serving")]
    pub(crate) mqtt: Option<reqwest::Url>,
    /// Insert into a table of the --database
    #[arg(long, value_name = "TABLE", help_heading = "Instead of serving")]
    pub(crate) table: Option<String>,
    /// Make the table if it is not there
    #[arg(long, requires = "table", help_heading = "Instead of serving")]
    pub(crate) create: bool,
    /// Post to a Rowcast: http://host:3000/v1/tables/name
    #[arg(long, value_name = "URL", help_heading = "Instead of serving")]
    pub(crate) post: Option<reqwest::Url>,
    /// Print to standard output
    #[arg(long, help_heading = "Instead of serving")]
    pub(crate) print: bool,
}

const SIMULATE_HELP: &str = "\
Without options it is the simulator that many a tutorial begins with: GET /stream, once a second a line
{\"time\":\"1718000000123\",\"speed\":\"37\"}, NDJSON that calls itself an event stream, to each client its own
values. That one listens on port 3000, which is Rowcast's; this one on 127.0.0.1:4000 unless --listen says
otherwise. GET /stream/sse is the same as real server-sent events.

Examples:
  rowcast simulate --wave walk
  rowcast simulate --rate 50 --sensors 5 --wave sine --malformed 0.01 --chunks split
  rowcast simulate --rate 20 --shared --seed 7 --ledger emitted.txt
  rowcast simulate --mqtt mqtt://localhost/plant/{sensor} --sensors 3
  rowcast simulate --database mysql://root@localhost/rtdb --table Data --rate 10000 --create";

impl Simulate {
    /// Whether all clients are sent the same.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared || self.start_at.is_some()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|unclear| format!("{}; {}", unclear.what, unclear.fix))
}

fn rate(text: &str) -> Result<f64, String> {
    match text.replace('_', "").parse() {
        Ok(rate) if (0.000_1..=100_000.0).contains(&rate) => Ok(rate),
        _ => Err("expected a number from 0.0001 to 100000".into()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a number from 0 to 1".into()),
    }
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
pub(crate) struct Ingest {
    /// The table
    #[arg(long, short, value_name = "TABLE")]
    pub(crate) table: rowcast::event::TableName,
    /// auto, ndjson, json, csv, copy (PostgreSQL's COPY text) or line (InfluxDB's) [default: by the file's name, else auto]
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) format: Option<rowcast::ingest::Format>,
    /// The columns of copy rows, in their order [default: the table's]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) columns: Vec<String>,
    /// Store each record once, however often the same file is given: a run that was cut off is gone on with
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep rejected records in the database, where `rowcast dead-letters` and Console show them (always with --once)
    #[arg(long)]
    pub(crate) dead_letters: bool,
    /// What the source is called there [default: the file's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The server to send to, instead of a --database
    #[arg(long, value_name = "URL", env = "ROWCAST_URL", hide_env = true)]
    pub(crate) url: Option<reqwest::Url>,
    /// No progress, no summary; rejected rows are told
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Files, also with .gz; none, or -: standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
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
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    pub(crate) what: Option<OfDeadLetters>,
    #[command(flatten)]
    pub(crate) which: WhichDeadLetters,
}

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub(crate) enum OfDeadLetters {
    /// Print them, newest first
    List,
    /// Make rows of them, with the rules of the configuration as they are now
    Retry {
        /// These; without one, all
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
        /// The mended record, a JSON object, in place of the one dead letter that is named
        #[arg(long, value_name = "JSON")]
        record: Option<String>,
    },
    /// Remove them
    Drop {
        /// These
        #[arg(value_name = "ID")]
        ids: Vec<u64>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WhichDeadLetters {
    /// Only of this source: the name of an [[ingest]], or http
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only older ones than this
    #[arg(long, global = true, value_name = "ID")]
    pub(crate) before: Option<u64>,
    /// At most so many
    #[arg(long, short = 'n', global = true, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
    /// Print JSON, one line for each
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) what: OfToken,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum OfToken {
    /// Print a token, signed by the first key of the configuration that can sign
    Make(MakeToken),
    /// Print what a token says, in words, and why it is accepted or refused
    Explain {
        /// The token; without it, or with -, it is read from standard input, where no other user of the machine sees it
        #[arg(value_name = "TOKEN")]
        token: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct MakeToken {
    /// Whose token it is (the claim `sub`)
    #[arg(long, value_name = "USER")]
    pub(crate) sub: Option<String>,
    /// A further claim; what is JSON is taken as JSON: roles='["a","b"]'
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    pub(crate) claims: Vec<(String, serde_json::Value)>,
    /// How long it is good [default: auth.token_ttl]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
}

fn claim(text: &str) -> Result<(String, serde_json::Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
        }
        _ => Err("expected NAME=VALUE".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct ShowConfig {
    /// Print the defaults instead, with what each key means
    #[arg(long)]
    pub(crate) default: bool,
}

impl Common {
    /// The addresses that were given on the command line.
    pub(crate) fn listen(&self) -> &[String] {
        &self.listen
    }

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
