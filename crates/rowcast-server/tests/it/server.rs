//! The real binary, started, killed and started again by a test.
//!
//! Knows processes, ports and settings. Leaves what is said to the server to `client`.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, watch};

/// How long anything that must happen may take. Generous: the machine may be busy.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

/// One `rowcast serve` with a folder of its own; the process ends with it.
pub(crate) struct Server {
    dir: PathBuf,
    /// As on the command line; `app.db` of the folder unless given.
    url: String,
    port: u16,
    settings: Vec<(String, String)>,
    child: Mutex<Option<Child>>,
    /// Which start of the process answers, `None` while none does.
    up: watch::Sender<Option<u64>>,
    starts: AtomicU64,
    http: reqwest::Client,
}

impl Server {
    /// Starts a server on `dir/app.db` and `dir/data`; `settings` are keys of the configuration with dots.
    pub(crate) async fn start(dir: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let server = Self::new(dir, settings);
        server.restart().await?;
        Ok(server)
    }

    /// A server that does not run yet.
    pub(crate) fn new(dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::on(&format!("sqlite:{}", dir.join("app.db").display()), dir, settings)
    }

    /// A server of any database that does not run yet.
    pub(crate) fn on(url: &str, dir: &Path, settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Self {
            dir: dir.to_owned(),
            url: url.to_owned(),
            port: free_port(),
            settings,
            child: Mutex::default(),
            up: watch::Sender::new(None),
            starts: AtomicU64::new(1),
            http: http_client(),
        }
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("app.db")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The command line, for those who expect it to fail.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rowcast"));
        command.arg("serve").arg("--database").arg(&self.url);
        command.arg("--data").arg(self.data()).arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        for (key, value) in &self.settings {
            command.env(format!("ROWCAST__{}", key.to_uppercase().replace('.', "__")), value);
        }
        command.current_dir(&self.dir).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts the process and waits for `/readyz`.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.launch().await?;
        self.until_ready().await
    }

    /// Starts the process and waits for nothing.
    pub(crate) async fn launch(&self) -> Result<()> {
        let mut child = self.child.lock().await;
        ensure!(child.is_none(), "the server runs already");
        let stderr = std::fs::File::options().create(true).append(true).open(self.dir.join("stderr.log"))?;
        *child = Some(self.command().stderr(stderr).spawn()?);
        Ok(())
    }

    /// Waits for `/readyz`. A server that does not become ready is ended.
    pub(crate) async fn until_ready(&self) -> Result<()> {
        let mut child = self.child.lock().await;
        let mut started = child.take().context("the server does not run")?;
        let outcome = tokio::time::timeout(DEADLINE, self.ready(&mut started)).await;
        outcome.unwrap_or_else(|_| bail!("no /readyz")).with_context(|| self.stderr())?;
        *child = Some(started);
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        self.up.send_replace(Some(start));
        Ok(())
    }

    async fn ready(&self, child: &mut Child) -> Result<()> {
        loop {
            if let Some(status) = child.try_wait()? {
                bail!("the server ended with {status}");
            }
            let answer = self.http.get(self.url("/readyz")).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(15)).await;
        }
    }

    /// Waits until the server answers, and tells which start of it does.
    pub(crate) async fn up(&self) -> Result<u64> {
        let mut up = self.up.subscribe();
        let running = up.wait_for(Option::is_some);
        let running = tokio::time::timeout(DEADLINE, running).await.context("the server did not come back")??;
        Ok(running.unwrap_or_default())
    }

    /// Ends the process at once, as a power cut of the process would.
    pub(crate) async fn kill9(&self) -> Result<()> {
        let mut child = self.take().await?;
        child.kill().await?;
        Ok(())
    }

    /// Asks the process to end, and waits for that.
    pub(crate) async fn terminate(&self) -> Result<ExitStatus> {
        let mut child = self.take().await?;
        let pid = child.id().context("the process has ended already")?;
        let sent = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        ensure!(sent.success(), "SIGTERM could not be sent");
        let ended = tokio::time::timeout(DEADLINE, child.wait()).await;
        Ok(ended.context("the server does not end").with_context(|| self.stderr())??)
    }

    /// What the process takes of memory.
    pub(crate) async fn resident_bytes(&self) -> Result<usize> {
        let child = self.child.lock().await;
        let pid = child.as_ref().and_then(Child::id).context("the server does not run")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a size")?;
        let kilobytes: usize = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kilobytes << 10)
    }

    async fn take(&self) -> Result<Child> {
        self.up.send_replace(None);
        self.child.lock().await.take().context("the server does not run")
    }

    /// The end of what the server has said on standard error.
    pub(crate) fn stderr(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("stderr.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        format!("the server's stderr:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"))
    }
}

/// A client that keeps no connection which a killed server has left behind.
fn http_client() -> reqwest::Client {
    // A second test may have installed it a moment before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().pool_max_idle_per_host(0).build().expect("the options are all known")
}

/// A port that no other test has.
pub(crate) fn free_port() -> u16 {
    servers::free_port().expect("a free port")
}
