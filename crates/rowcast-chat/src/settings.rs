//! How a chat is set up.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a chat is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether an address has to be shown to be one's own before one is let in.
    pub verify: bool,
    /// Where the chat is, for links: `https://chat.example.com`. `None`: where each request came to.
    pub public_url: Option<String>,
    /// How long somebody stays logged in.
    pub token_ttl: Duration,
    /// How mail is sent. `None`: it is printed to the log.
    pub smtp: Option<Smtp>,
    /// Where files are kept.
    pub files: FilesPlace,
    /// The largest file, in bytes.
    pub max_file: u64,
    /// What the files of one user may have together, in bytes; 0: no limit.
    pub quota: u64,
    /// For how long a file is kept that nobody has a use for: one that was never sent, a picture that was replaced.
    pub sweep_after: Duration,
    /// How often such files are looked for.
    pub sweep_every: Duration,
    /// Types of files that are taken: `image/png`, `text/*`, `*/*`.
    pub types: Vec<String>,
}

/// How mail is sent.
#[derive(Clone)]
pub struct Smtp {
    /// `smtps://user:password@host:465`, `smtp://user:password@host:587?tls=required`.
    pub url: String,
    /// Whom it is from: `Chat <chat@example.com>`.
    pub from: String,
    /// The authorities (PEM) that may sign the server's certificate. `None`: those that this machine trusts.
    pub ca: Option<String>,
}

// The URL may hold a password.
impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Smtp").field("from", &self.from).finish_non_exhaustive()
    }
}

/// Where files are kept.
#[derive(Clone)]
pub enum FilesPlace {
    /// In a folder, which is made if it is not there.
    Folder(PathBuf),
    /// In a bucket of S3, or of what speaks as S3 does.
    S3 {
        /// The bucket.
        bucket: String,
        /// What stands before the names in it; may be empty.
        prefix: String,
        /// Another server than Amazon's: `http://127.0.0.1:9000`.
        endpoint: Option<String>,
        /// The region.
        region: String,
        /// The name of the key. `None`: what the environment says (`AWS_ACCESS_KEY_ID` and the like).
        access_key: Option<String>,
        /// The key.
        secret_key: Option<String>,
    },
}

impl fmt::Debug for FilesPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::S3 { bucket, prefix, .. } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let types = ["image/png", "image/jpeg", "image/webp", "image/gif", "audio/*", "video/mp4", "video/webm"];
        let more = ["text/plain", "text/csv", "application/pdf", "application/zip"];
        Self {
            verify: true,
            public_url: None,
            token_ttl: Duration::from_secs(30 * 24 * 60 * 60),
            smtp: None,
            files: FilesPlace::Folder("chat-files".into()),
            max_file: 25 << 20,
            quota: 5 << 30,
            sweep_after: Duration::from_secs(24 * 60 * 60),
            sweep_every: Duration::from_secs(60 * 60),
            types: types.into_iter().chain(more).map(str::to_owned).collect(),
        }
    }
}
