//! Records as they should not be.

use clap::ValueEnum;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub(crate) enum Kind {
    /// JSON that ends in the middle
    Truncated,
    /// NaN, which JSON does not have
    Nan,
    /// A word for the speed
    Type,
    /// No speed at all
    Missing,
    /// A speed of 999
    Range,
    /// A time ten years from now
    Future,
    /// A list instead of an object
    List,
    /// Bytes that are no UTF-8
    Utf8,
    /// A line of more than a megabyte
    Huge,
    /// Nothing wrong, but a field more: such a record counts as good
    Extra,
}

impl Kind {
    /// All of them, as they are dealt when none are named: the huge one is sent only when it is asked for.
    pub(super) const USUAL: [Self; 9] = [
        Self::Truncated,
        Self::Nan,
        Self::Type,
        Self::Missing,
        Self::Range,
        Self::Future,
        Self::List,
        Self::Utf8,
        Self::Extra,
    ];

    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Nan => "nan",
            Self::Type => "type",
            Self::Missing => "missing",
            Self::Range => "range",
            Self::Future => "future",
            Self::List => "list",
            Self::Utf8 => "utf8",
            Self::Huge => "huge",
            Self::Extra => "extra",
        }
    }

    /// Whether whoever validates keeps the record.
    pub(super) fn is_good(self) -> bool {
        self == Self::Extra
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::value_variants() {
            let named = kind.to_possible_value().expect("none is hidden");
            assert_eq!(named.get_name(), kind.name());
        }
    }
}
