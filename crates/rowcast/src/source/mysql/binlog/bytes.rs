//! The inside of an event, read from its front to its end.

/// What was sent is not what the format says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the binlog cannot be understood: {0}")]
pub(super) struct Malformed(pub(super) &'static str);

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(taken)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// An integer of so many bytes (eight at most), the lowest first.
    #[inline]
    pub(super) fn little(&mut self, bytes: usize) -> Result<u64, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An integer of so many bytes (eight at most), the highest first.
    #[inline]
    pub(super) fn big(&mut self, bytes: usize) -> Result<u64, Malformed> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// An integer of one to nine bytes.
    pub(super) fn packed(&mut self) -> Result<u64, Malformed> {
        match self.u8()? {
            short @ 0..=250 => Ok(short.into()),
            252 => self.u16().map(u64::from),
            253 => self.little(3),
            254 => self.u64(),
            _ => Err(Malformed("a length that is none")),
        }
    }

    /// A length that can be one.
    pub(super) fn packed_length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(self.packed()?).map_err(|_| Malformed("a length that is too large"))
    }

    /// Bytes behind their length.
    pub(super) fn packed_bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.packed_length()?;
        self.take(length)
    }

    /// Bytes behind their length, which takes so many bytes.
    #[inline]
    pub(super) fn prefixed(&mut self, bytes: u8) -> Result<&'a [u8], Malformed> {
        let length = self.little(usize::from(bytes.min(4)))?;
        self.take(length as usize)
    }
}

/// Whether the bit is set; the lowest bit of the first byte is the first.
#[inline]
pub(super) fn bit(bits: &[u8], at: usize) -> bool {
    bits.get(at / 8).is_some_and(|byte| byte >> (at % 8) & 1 == 1)
}

/// MariaDB's compressed form, of a column or of an event: a byte that tells how many bytes of length follow, then a zlib stream.
pub(super) fn inflate(data: &[u8], most: usize) -> Result<Vec<u8>, Malformed> {
    use std::io::Read;
    let mut bytes = Bytes(data);
    let head = bytes.u8()?;
    let length = bytes.big(usize::from(head & 7))?;
    let length = usize::try_from(length).ok().filter(|length| *length <= most);
    let length = length.ok_or(Malformed("a compressed part that is too large"))?;
    let mut out = Vec::with_capacity(length.min(64 << 20));
    let limit = length as u64 + 1;
    let read = if head & 8 == 0 {
        flate2::read::ZlibDecoder::new(bytes.0).take(limit).read_to_end(&mut out)
    } else {
        flate2::read::DeflateDecoder::new(bytes.0).take(limit).read_to_end(&mut out)
    };
    match read {
        Ok(read) if read == length => Ok(out),
        _ => Err(Malformed("a compressed part that cannot be unpacked")),
    }
}
