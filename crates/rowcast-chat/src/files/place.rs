//! Where the bytes of files are: in a folder, or in a bucket.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, GetOptions, GetRange, GetResult, ObjectStore, ObjectStoreExt};
use rowcast::protocol::Problem;

use crate::ChatError;
use crate::problems;
use crate::settings::FilesPlace;

/// What is held in memory of a file on its way.
const PIECE: usize = 5 << 20;

/// Where the bytes of files are. Their names are ids: nothing of a request is ever part of a path.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    store: Arc<dyn ObjectStore>,
    /// Where that is a folder.
    folder: Option<PathBuf>,
}

impl Place {
    /// Makes the folder where there is none. Of a bucket only the settings are looked at.
    pub(crate) fn open(place: &FilesPlace) -> Result<Self, ChatError> {
        match place {
            FilesPlace::Folder(folder) => {
                let cannot = |error: &dyn std::fmt::Display| {
                    ChatError(format!("files cannot be kept in {}: {error}", folder.display()))
                };
                std::fs::create_dir_all(folder).map_err(|error| cannot(&error))?;
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|error| cannot(&error))?;
                Ok(Self { store: Arc::new(store), folder: Some(folder.clone()) })
            }
            FilesPlace::S3 { bucket, prefix, endpoint, region, access_key, secret_key } => {
                let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_region(region);
                if let Some(endpoint) = endpoint {
                    builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
                }
                if let Some(key) = access_key {
                    builder = builder.with_access_key_id(key);
                }
                if let Some(key) = secret_key {
                    builder = builder.with_secret_access_key(key);
                }
                let store = builder
                    .build()
                    .map_err(|error| ChatError(format!("files cannot be kept in s3://{bucket}/{prefix}: {error}")))?;
                let store: Arc<dyn ObjectStore> = match prefix.trim_matches('/') {
                    "" => Arc::new(store),
                    prefix => Arc::new(PrefixStore::new(store, prefix)),
                };
                Ok(Self { store, folder: None })
            }
        }
    }

    pub(crate) async fn put(&self, id: &str, bytes: Bytes) -> Result<(), Problem> {
        self.store.put(&Path::from(id), bytes.into()).await.map(drop).map_err(|error| problem(&error))
    }

    /// To be written piece by piece: it is there once it is shut down.
    pub(crate) fn writer(&self, id: &str) -> BufWriter {
        BufWriter::with_capacity(self.store.clone(), Path::from(id), PIECE).with_max_concurrency(1)
    }

    /// All of it, or a part. `None`: it is not there.
    pub(crate) async fn get(&self, id: &str, part: Option<Range<u64>>) -> Result<Option<GetResult>, Problem> {
        let options = GetOptions { range: part.map(GetRange::Bounded), ..GetOptions::default() };
        there(self.store.get_opts(&Path::from(id), options).await)
    }

    /// How many bytes it has. `None`: it is not there.
    pub(crate) async fn size(&self, id: &str) -> Result<Option<u64>, Problem> {
        Ok(there(self.store.head(&Path::from(id)).await)?.map(|meta| meta.size))
    }

    /// Whether nothing is left of it, be it that there was nothing.
    pub(crate) async fn remove(&self, id: &str) -> bool {
        let staged = self.folder.as_ref().map(|folder| folder.join(format!("{id}#1")));
        let staged = match staged {
            // What a process has left that ended in the middle of writing it.
            Some(path) => tokio::fs::remove_file(path).await.or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error.to_string()),
            }),
            None => Ok(()),
        };
        let removed = match self.store.delete(&Path::from(id)).await {
            Ok(()) | Err(Error::NotFound { .. }) => staged,
            Err(error) => Err(error.to_string()),
        };
        removed
            .inspect_err(|error| tracing::warn!("a file that nobody has any more stays where it is: {error}"))
            .is_ok()
    }
}

fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Problem> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(problem(&error)),
    }
}

/// What to say of it. What it is stands in the log.
pub(crate) fn problem(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!("the place of the chat's files does not answer: {error}");
    problems::unavailable("the place where files are kept does not answer")
}
