//! Files and standard input, read in chunks, unpacked where they are gzip.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use indicatif::ProgressBar;
use rowcast::ingest::Format;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

/// Bytes of one chunk.
const CHUNK: usize = 256 << 10;

/// Chunks that are read ahead.
const AHEAD: usize = 4;

/// Something to read.
#[derive(Debug)]
pub(super) enum Input {
    Standard,
    File(PathBuf, u64),
}

impl Input {
    /// The files, or standard input where there is none. All are looked at before any is read.
    pub(super) fn all(files: &[PathBuf]) -> anyhow::Result<Vec<Self>> {
        if files.is_empty() {
            return Ok(vec![Self::Standard]);
        }
        let one = |path: &PathBuf| {
            if path.as_os_str() == "-" {
                return Ok(Self::Standard);
            }
            let found = File::open(path).and_then(|file| file.metadata());
            let found = found.with_context(|| format!("{} cannot be read", path.display()))?;
            anyhow::ensure!(!found.is_dir(), "{} is a folder; name its files", path.display());
            Ok(Self::File(path.clone(), found.len()))
        };
        files.iter().map(one).collect()
    }

    pub(super) fn shown(&self) -> String {
        match self {
            Self::Standard => "standard input".into(),
            Self::File(path, _) => path.display().to_string(),
        }
    }

    /// What it is called where nobody says.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Standard => "stdin".into(),
            Self::File(path, _) => {
                path.file_name().map_or_else(|| self.shown(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// Its bytes; `None` where that is not known before it is read.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Standard => None,
            Self::File(_, size) => Some(*size),
        }
    }

    /// What tells its content from any other; `None` where it cannot be read twice.
    pub(super) fn fingerprint(&self) -> anyhow::Result<Option<String>> {
        let Self::File(path, _) = self else { return Ok(None) };
        let unreadable = || format!("{} cannot be read", path.display());
        let mut file = File::open(path).with_context(unreadable)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
        loop {
            match file.read(&mut buffer).with_context(unreadable)? {
                0 => break,
                count => hash.update(&buffer[..count]),
            }
        }
        Ok(Some(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
    }

    /// Its content in chunks, in order, until an error or the end.
    pub(super) fn read(&self, bar: &ProgressBar) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, chunks) = mpsc::channel(AHEAD);
        let (path, bar) = (if let Self::File(path, _) = self { Some(path.clone()) } else { None }, bar.clone());
        // Plain files block, and so does unpacking. It ends when nobody takes the chunks.
        tokio::task::spawn_blocking(move || {
            let ended = match path {
                None => send(io::stdin().lock(), &sender),
                Some(path) => File::open(path).and_then(|file| send(bar.wrap_read(file), &sender)),
            };
            if let Err(error) = ended {
                let _ = sender.blocking_send(Err(error));
            }
        });
        chunks
    }
}

fn send(plain: impl Read, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut plain = BufReader::with_capacity(CHUNK, plain);
    let packed = io::BufRead::fill_buf(&mut plain)?.starts_with(&[0x1f, 0x8b]);
    if packed { chunks(flate2::read::MultiGzDecoder::new(plain), sender) } else { chunks(plain, sender) }
}

fn chunks(mut from: impl Read, sender: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if sender.blocking_send(Ok(Bytes::copy_from_slice(&buffer[..count]))).is_err() {
            return Ok(());
        }
    }
}

/// What a file's name says of its format.
pub(super) fn format_of(input: &Input) -> Format {
    let Input::File(path, _) = input else { return Format::Auto };
    let path = if path.extension().is_some_and(|end| end == "gz") { path.with_extension("") } else { path.clone() };
    by_extension(&path)
}

fn by_extension(path: &Path) -> Format {
    match path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase().as_str() {
        "csv" => Format::Csv,
        "ndjson" | "jsonl" => Format::Ndjson,
        "json" => Format::Json,
        "copy" => Format::Copy,
        "lp" | "line" => Format::Line,
        _ => Format::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_its_format() {
        let format = |name: &str| format_of(&Input::File(name.into(), 0));
        assert_eq!(
            ["a.csv", "a.jsonl.gz", "b.JSON", "c.copy", "d.lp", "e"].map(format),
            [Format::Csv, Format::Ndjson, Format::Json, Format::Copy, Format::Line, Format::Auto]
        );
    }
}
