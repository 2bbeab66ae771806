//! Where the bytes of files are: in a folder, or in a bucket.

use std::sync::Arc;

use bytes::Bytes;
use object_store::aws::AmazonS3Builder;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt};
use rowcast::protocol::Problem;

use crate::ChatError;
use crate::problems;
use crate::settings::FilesPlace;

/// What is held in memory of a file on its way.
const PIECE: usize = 5 << 20;

/// Where the bytes of files are. Their names are ids: nothing of a request is ever part of a path.
#[derive(Debug, Clone)]
pub(crate) struct Place(Arc<dyn ObjectStore>);

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
                Ok(Self(Arc::new(store)))
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
                Ok(match prefix.trim_matches('/') {
                    "" => Self(Arc::new(store)),
                    prefix => Self(Arc::new(PrefixStore::new(store, prefix))),
                })
            }
        }
    }

    pub(crate) async fn put(&self, id: &str, bytes: Bytes) -> Result<(), Problem> {
        self.0.put(&Path::from(id), bytes.into()).await.map(drop).map_err(|error| problem(&error))
    }

    /// To be written piece by piece: it is there once it is shut down.
    pub(crate) fn writer(&self, id: &str) -> BufWriter {
        BufWriter::with_capacity(self.0.clone(), Path::from(id), PIECE).with_max_concurrency(1)
    }

    /// `None`: it is not there.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<GetResult>, Problem> {
        match self.0.get(&Path::from(id)).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(problem(&error)),
        }
    }

    /// What is not there any more is gone, too.
    pub(crate) async fn remove(&self, id: &str) {
        match self.0.delete(&Path::from(id)).await {
            Ok(()) | Err(Error::NotFound { .. }) => {}
            Err(error) => tracing::warn!(%error, "a file that nobody has any more stays where it is"),
        }
    }
}

/// What to say of it. What it is stands in the log.
pub(crate) fn problem(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!("the place of the chat's files does not answer: {error}");
    problems::unavailable("the place where files are kept does not answer")
}
