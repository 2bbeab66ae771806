//! A row as the stream has it.

use std::fmt;

use bytes::Bytes;

/// The columns of a row, still as they came. Its values are never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Tuple {
    bytes: Bytes,
    columns: usize,
}

/// One column of a [`Tuple`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// A value that is stored apart from its row (TOAST) and was not touched: it is not sent.
    Unchanged,
    /// What the type's output function printed.
    Text(&'a [u8]),
}

impl Tuple {
    /// Cells that are known to be whole.
    pub(super) fn checked(bytes: Bytes, columns: usize) -> Self {
        Self { bytes, columns }
    }

    /// The number of columns.
    pub fn len(&self) -> usize {
        self.columns
    }

    /// Whether it has no column at all.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The bytes that the row takes in the message.
    pub fn weight(&self) -> usize {
        self.bytes.len()
    }

    /// The columns in the order of the table's.
    pub fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (kind, after) = rest.split_first()?;
            rest = after;
            match kind {
                b'n' => Some(Cell::Null),
                b't' => {
                    let (length, after) = rest.split_first_chunk()?;
                    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
                    rest = after;
                    Some(Cell::Text(text))
                }
                _ => Some(Cell::Unchanged),
            }
        })
    }
}

impl fmt::Debug for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} columns in {} bytes", self.columns, self.bytes.len())
    }
}
