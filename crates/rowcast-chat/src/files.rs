//! Files: put into a talk by one of its members, read by all of them and by nobody else.

pub(crate) mod kind;
mod orphans;
pub(crate) mod picture;
pub(crate) mod place;
mod quota;
mod range;
mod serve;
mod upload;

use std::sync::Arc;

use tokio::sync::Semaphore;

use self::place::Place;
pub(crate) use self::serve::{file, thumbnail};
pub(crate) use self::upload::upload;

/// Files that come in at once: each may have a picture of the largest size in memory.
const UPLOADS_MAX: usize = 16;
/// Pictures that are decoded at once.
const DECODED_MAX: usize = 2;

/// What becomes of files.
#[derive(Debug)]
pub(crate) struct Files {
    place: Place,
    uploads: Arc<Semaphore>,
    decoding: Arc<Semaphore>,
}

impl Files {
    pub(crate) fn new(place: Place) -> Self {
        let (uploads, decoding) = (Semaphore::new(UPLOADS_MAX), Semaphore::new(DECODED_MAX));
        Self { place, uploads: Arc::new(uploads), decoding: Arc::new(decoding) }
    }

    /// Whether nothing is left of a file.
    async fn remove(&self, id: &str) -> bool {
        // Both are tried.
        let (file, thumbnail) = (self.place.remove(id).await, self.place.remove(&thumbnail_of(id)).await);
        file && thumbnail
    }
}

fn thumbnail_of(id: &str) -> String {
    format!("{id}.thumbnail")
}
