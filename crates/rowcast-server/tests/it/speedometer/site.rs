//! The parts of the system, each started and ended on its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::Data;
use crate::events::Stream;
use crate::program::rowcast;
use crate::server::{DEADLINE, Server, free_port};

/// The example that users copy.
fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/speedometer")
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// `rowcast simulate` on a port that it keeps.
pub(crate) struct Simulator {
    folder: PathBuf,
    pub(crate) port: u16,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Simulator {
    /// One that does not run yet.
    pub(crate) fn new(folder: &Path, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        Self { folder: folder.to_owned(), port: free_port(), arguments, child: None }
    }

    pub(crate) async fn start(&mut self) -> Result<()> {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut words = vec!["simulate", "--listen", &listen];
        words.extend(self.arguments.iter().map(String::as_str));
        let mut child = rowcast(&self.folder, &words).stdout(Stdio::null()).spawn()?;
        let until = Instant::now() + DEADLINE;
        while tokio::net::TcpStream::connect(&listen).await.is_err() {
            if let Some(status) = child.try_wait()? {
                bail!("the simulator ended with {status}");
            }
            ensure!(Instant::now() < until, "the simulator does not listen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.child = Some(child);
        Ok(())
    }

    pub(crate) async fn kill9(&mut self) -> Result<()> {
        self.child.take().context("it does not run")?.kill().await?;
        Ok(())
    }

    /// Every line that it emits, by its number: a seed and a start make them.
    pub(crate) async fn lines(&self) -> Result<Vec<Vec<u8>>> {
        let served = ["--hold", "--close-after", "--ledger", "--chunks", "--shared"];
        let mut words = vec!["simulate".to_owned(), "--print".to_owned()];
        let mut rest = self.arguments.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--hold" | "--shared" => {}
                word if served.contains(&word) => _ = rest.next(),
                _ => words.push(word.clone()),
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = rowcast(&self.folder, &words).stderr(Stdio::inherit()).output().await?;
        ensure!(output.status.success(), "the simulator did not print");
        let mut lines: Vec<_> = output.stdout.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.pop();
        Ok(lines)
    }

    /// What its ledger says of each record: `good`, `malformed nan`, …
    pub(crate) fn ledger(&self) -> Result<BTreeMap<u64, String>> {
        let text = std::fs::read_to_string(self.folder.join("ledger"))?;
        let entry = |line: &str| Some((line.split_once(' ')?.0.parse().ok()?, line.split_once(' ')?.1.to_owned()));
        // The last line of one that was killed may be half a line.
        Ok(text.split_inclusive('\n').filter_map(|line| entry(line.strip_suffix('\n')?)).collect())
    }
}

/// A record that was refused, as `rowcast dead-letters` tells it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Letter {
    pub(crate) source: String,
    pub(crate) raw: String,
    pub(crate) reason: String,
    pub(crate) column: Option<String>,
}

/// A Rowcast with the example's configuration, and its database.
pub(crate) struct Site {
    pub(crate) data: Data,
    pub(crate) rowcast: Server,
    folder: TempDir,
}

impl Site {
    /// Nothing runs yet but the database. `more` is put behind the example's configuration.
    pub(crate) fn new(data: Data, stream: &str, change: impl Fn(String) -> String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let text = std::fs::read_to_string(example().join("rowcast.toml"))?;
        let page = format!("files = {:?}", example().join("page"));
        let text = text.replace("files = \"page\"", &page).replace("http://127.0.0.1:4000/stream", stream);
        ensure!(text.contains(&page) && text.contains(stream), "the example is not what it was");
        std::fs::write(folder.path().join("rowcast.toml"), change(text))?;
        let rowcast = Server::on(&data.url(), folder.path(), &data.settings());
        Ok(Self { data, rowcast, folder })
    }

    /// The same, on a simulator's stream.
    pub(crate) fn of(data: Data, simulator: &Simulator, path: &str) -> Result<Self> {
        Self::new(data, &format!("http://127.0.0.1:{}{path}", simulator.port), |text| text)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Time and speed of every point that is stored.
    pub(crate) async fn points(&self) -> Result<Vec<(u64, String)>> {
        let pairs = self.data.pairs("time", "speed").await?;
        pairs.into_iter().map(|(time, speed)| Ok((time.parse()?, speed))).collect()
    }

    /// Waits until so many points are stored.
    pub(crate) async fn holds(&self, count: usize) -> Result<Vec<(u64, String)>> {
        self.wait_for(&format!("{count} points"), async || {
            let points = self.points().await?;
            Ok((points.len() >= count).then_some(points))
        })
        .await
    }

    /// Looks again and again. A database that is away is no answer.
    pub(crate) async fn wait_for<T>(&self, what: &str, look: impl AsyncFn() -> Result<Option<T>>) -> Result<T> {
        let until = Instant::now() + DEADLINE;
        let mut last = None;
        while Instant::now() < until {
            match look().await {
                Ok(Some(found)) => return Ok(found),
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{what}: not in time ({last:?})\n{}\n{:?}", self.rowcast.stderr(), self.source().await)
    }

    /// A page that listens to `newData`, behind that event or from now on, with so many points before.
    pub(crate) async fn page(&self, last: Option<&str>, history: Option<u32>) -> Result<Stream> {
        let history = history.map_or(String::new(), |limit| format!("&snapshot=true&limit={limit}"));
        Stream::open(&self.rowcast, &format!("channel=event:newData{history}"), last).await
    }

    /// What `/v1/status` says of the simulator's stream.
    pub(crate) async fn source(&self) -> Result<Value> {
        let status = self.rowcast.http().get(self.rowcast.url("/v1/status")).send().await?.text().await?;
        let status: Value = serde_json::from_str(&status)?;
        Ok(status["ingest"][0].clone())
    }

    /// The records that were refused, oldest first.
    pub(crate) async fn dead_letters(&self) -> Result<Vec<Letter>> {
        let url = self.data.url();
        let mut command: Command =
            rowcast(self.folder(), &["dead-letters", "--json", "--limit", "10000", "--database", &url]);
        for (key, value) in self.data.settings() {
            command.env(format!("ROWCAST__{}", key.to_uppercase().replace('.', "__")), value);
        }
        let output = command.output().await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout)?;
        let mut letters: Vec<Letter> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        letters.reverse();
        Ok(letters)
    }
}
