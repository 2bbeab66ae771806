//! Frames: byte strings in a file, each with its length and checksums.
//!
//! A frame's checksums cover where it stands and in which file, so that a frame that is copied into a row's value is never
//! taken for one. Leaves what is inside to `record`.
//!
//! ```text
//! magic 4 | length of the payload 4 | checksum of salt, place, length 4 | checksum of those and the payload 4 | payload
//! ```

use std::io::{self, Read};

use crc32fast::Hasher;
use memchr::memmem;

/// Bytes before the payload.
pub(crate) const HEADER: usize = 16;

/// The longest payload.
pub(crate) const PAYLOAD_MAX: usize = 1 << 30;

const MAGIC: [u8; 4] = [0xF7, b'R', b'c', 0x01];

/// Room for a frame's header; [`finish`] fills it.
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.resize(start + HEADER, 0);
    start
}

/// Ends the frame that began at `start` in `out` and will stand at `at` in the file. The payload has at most
/// [`PAYLOAD_MAX`] bytes.
pub(crate) fn finish(out: &mut [u8], start: usize, at: u64, salt: u32) {
    let (header, payload) = out[start..].split_at_mut(HEADER);
    let length = u32::try_from(payload.len()).expect("the writer bounds a payload");
    let checks = Checks::new(salt, at, length);
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..12].copy_from_slice(&checks.header().to_le_bytes());
    header[12..].copy_from_slice(&checks.payload(payload).to_le_bytes());
}

struct Checks(Hasher);

impl Checks {
    fn new(salt: u32, at: u64, length: u32) -> Self {
        let mut hasher = Hasher::new_with_initial(salt);
        hasher.update(&at.to_le_bytes());
        hasher.update(&length.to_le_bytes());
        Self(hasher)
    }

    fn header(&self) -> u32 {
        self.0.clone().finalize()
    }

    fn payload(mut self, payload: &[u8]) -> u32 {
        self.0.update(payload);
        self.0.finalize()
    }
}

/// Why there is no next frame.
#[derive(Debug)]
pub(crate) enum FrameError {
    Io(io::Error),
    /// The file ends inside the frame.
    Torn,
    /// What is there is not a frame, or its checksum is wrong.
    Damaged(&'static str),
}

/// The frames of a file, from one of them on.
#[derive(Debug)]
pub(crate) struct Frames<R> {
    input: R,
    at: u64,
    end: u64,
    salt: u32,
    payload: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads `input`, which stands at `at` in the file, up to `end`.
    pub(crate) fn new(input: R, at: u64, end: u64, salt: u32) -> Self {
        Self { input, at, end, salt, payload: Vec::new() }
    }

    /// What the frames are read from.
    pub(crate) fn into_input(self) -> R {
        self.input
    }

    /// Where the next frame begins.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// The next payload; `None` at the end. After an error, `at` is where the faulty frame begins.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, FrameError> {
        let left = self.end.saturating_sub(self.at);
        if left == 0 {
            return Ok(None);
        }
        if left < HEADER as u64 {
            return Err(FrameError::Torn);
        }
        let mut header = [0; HEADER];
        self.input.read_exact(&mut header).map_err(FrameError::Io)?;
        let header = Header::parse(&header, self.at, self.salt).ok_or(FrameError::Damaged("no record begins here"))?;
        if left - (HEADER as u64) < u64::from(header.length) {
            return Err(FrameError::Torn);
        }
        self.payload.resize(header.length as usize, 0);
        self.input.read_exact(&mut self.payload).map_err(FrameError::Io)?;
        if header.checks.payload(&self.payload) != header.payload_check {
            return Err(FrameError::Damaged("a record's checksum is wrong"));
        }
        self.at += HEADER as u64 + u64::from(header.length);
        Ok(Some(&self.payload))
    }
}

struct Header {
    length: u32,
    checks: Checks,
    payload_check: u32,
}

impl Header {
    fn parse(bytes: &[u8; HEADER], at: u64, salt: u32) -> Option<Self> {
        let word = |index: usize| {
            let word = bytes[index..index + 4].try_into().expect("four bytes are four bytes");
            u32::from_le_bytes(word)
        };
        let length = word(4);
        let checks = Checks::new(salt, at, length);
        let intact = bytes[..4] == MAGIC && length as usize <= PAYLOAD_MAX && word(8) == checks.header();
        intact.then(|| Self { length, checks, payload_check: word(12) })
    }
}

/// The payloads of intact frames in `bytes`, which stand at `at` in the file, wherever they begin.
pub(crate) fn find_intact(bytes: &[u8], at: u64, salt: u32) -> impl Iterator<Item = &[u8]> {
    memmem::find_iter(bytes, &MAGIC).filter_map(move |start| {
        let header = bytes[start..].first_chunk()?;
        let header = Header::parse(header, at + start as u64, salt)?;
        let payload = bytes.get(start + HEADER..start + HEADER + header.length as usize)?;
        (header.checks.payload(payload) == header.payload_check).then_some(payload)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u32 = 7;

    fn two_frames() -> Vec<u8> {
        let mut file = Vec::new();
        for payload in ["first", "second"] {
            let start = begin(&mut file);
            file.extend_from_slice(payload.as_bytes());
            finish(&mut file, start, start as u64, SALT);
        }
        file
    }

    fn read(file: &[u8], salt: u32) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let mut frames = Frames::new(file, 0, file.len() as u64, salt);
        let mut payloads = Vec::new();
        loop {
            match frames.next() {
                Ok(Some(payload)) => payloads.push(payload.to_vec()),
                Ok(None) => return (payloads, None),
                Err(error) => return (payloads, Some(error)),
            }
        }
    }

    #[test]
    fn reads_what_it_writes() {
        let (payloads, error) = read(&two_frames(), SALT);
        assert_eq!(payloads, [b"first".to_vec(), b"second".to_vec()]);
        assert!(error.is_none());
    }

    #[test]
    fn a_file_that_ends_inside_a_frame_is_torn() {
        let file = two_frames();
        for length in 22..file.len() {
            let (payloads, error) = read(&file[..length], SALT);
            assert_eq!(payloads.len(), 1);
            assert!(matches!(error, Some(FrameError::Torn)), "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let file = two_frames();
        for bit in 0..21 * 8 {
            let mut file = file.clone();
            file[bit / 8] ^= 1 << (bit % 8);
            let (payloads, error) = read(&file, SALT);
            assert!(payloads.is_empty() && matches!(error, Some(FrameError::Damaged(_))), "{bit}");
        }
    }

    #[test]
    fn a_frame_elsewhere_or_of_another_file_is_none() {
        let file = two_frames();
        assert!(read(&file, SALT + 1).0.is_empty());
        assert!(read(&file[21..], SALT).0.is_empty());
    }

    #[test]
    fn intact_frames_are_found_behind_damage() {
        let mut file = two_frames();
        file[18] ^= 1;
        assert_eq!(find_intact(&file, 0, SALT).collect::<Vec<_>>(), [b"second"]);
        assert_eq!(find_intact(&file, 1, SALT).count(), 0);
    }
}
