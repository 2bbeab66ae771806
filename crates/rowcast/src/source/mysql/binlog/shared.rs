//! What reading tells whoever asks for the status.

use parking_lot::Mutex;

use crate::source::SourceStatus;

/// How a source stands.
#[derive(Debug, Default)]
pub(in crate::source::mysql) struct Shared(Mutex<SourceStatus>);

impl Shared {
    pub(in crate::source::mysql) fn status(&self) -> SourceStatus {
        self.0.lock().clone()
    }

    /// Changes what is said of it.
    pub(in crate::source::mysql) fn tell(&self, change: impl FnOnce(&mut SourceStatus)) {
        change(&mut self.0.lock());
    }
}
