//! The time column of a chart, as the server compares it and as a chart shows it.

use super::number::NUMERAL;
use crate::postgres::catalog::Described;
use crate::postgres::name::quote;
use crate::store::StoreError;

/// Texts that begin with a date, and may go on with a time of day and a zone.
const DATE: &str = "^(?!0000)[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\
                    ([ T]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?[ ]*(Z|[-+][0-9]{2}:[0-9]{2})?)?[ ]*$";
/// The first and the last millisecond that every server has a timestamp for.
const FIRST_MS: f64 = -210_000_000_000_000.0;
const LAST_MS: f64 = 9_000_000_000_000_000.0;

/// How times are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// As numbers, in whatever unit.
    Whole,
    Real,
    Numeric,
    /// As moments, or as what a clock in UTC would show.
    Moment,
    Clock,
    Day,
    /// As text of a number or a date.
    Text,
}

/// The time column.
#[derive(Debug, Clone)]
pub(super) struct Time {
    name: String,
    kind: Kind,
}

impl Time {
    /// The column, if times are kept in its type.
    pub(super) fn of(described: &Described, column: usize) -> Result<Self, StoreError> {
        let about = &described.table.columns[column];
        let kind = match described.columns[column].base {
            20 | 21 | 23 => Kind::Whole,
            700 | 701 => Kind::Real,
            1700 => Kind::Numeric,
            1184 => Kind::Moment,
            1114 => Kind::Clock,
            1082 => Kind::Day,
            25 | 1042 | 1043 => Kind::Text,
            _ => {
                let message = format!(
                    "`{}` is of type {}, which is no time; choose a column of dates, timestamps or numbers",
                    about.name, about.declared
                );
                return Err(StoreError::Refused(message));
            }
        };
        Ok(Self { name: quote(&about.name), kind })
    }

    /// The column, or the number that stands in its text.
    pub(super) fn column(&self) -> String {
        if self.kind != Kind::Text {
            return self.name.clone();
        }
        let name = &self.name;
        // The regular expression has let nothing pass that a cast would refuse; the 31st of February is in March.
        format!(
            "(CASE WHEN {name}::text ~ '{NUMERAL}' THEN {name}::text::float8 WHEN {name}::text ~ '{DATE}' THEN 1000 * \
             pg_catalog.date_part('epoch', (pg_catalog.left({name}, 7) || '-01')::date \
             + (pg_catalog.substr({name}, 9, 2)::int4 - 1) * interval '1 day' \
             + coalesce(pg_catalog.substring({name}::text, '[ T]([0-9:.]+)')::interval, interval '0') \
             - coalesce(pg_catalog.substring({name}::text, '([-+][0-9]{{2}}:[0-9]{{2}})[ ]*$')::interval, interval '0')) END)"
        )
    }

    /// Whether an index of the column finds times: under policies only by comparisons that the database knows to tell nothing (LEAKPROOF).
    pub(super) fn is_indexable(&self, by_policies: bool) -> bool {
        match self.kind {
            Kind::Text => false,
            Kind::Numeric | Kind::Day => !by_policies,
            Kind::Whole | Kind::Real | Kind::Moment | Kind::Clock => true,
        }
    }

    /// SQL for a time as a chart shows it: dates in milliseconds since 1970, numbers as they are.
    pub(super) fn of_sql(&self, time: &str) -> String {
        match self.kind {
            Kind::Moment | Kind::Clock | Kind::Day => format!("(1000 * pg_catalog.date_part('epoch', {time}))"),
            Kind::Whole | Kind::Real | Kind::Numeric | Kind::Text => format!("({time})::float8"),
        }
    }

    /// SQL for a chart's time, a double, as the column has it or, where that is coarser, as it compares with the column.
    pub(super) fn to_sql(&self, time: &str) -> String {
        match self.kind {
            Kind::Moment => format!("pg_catalog.to_timestamp({time} / 1000)"),
            Kind::Clock | Kind::Day => format!("(pg_catalog.to_timestamp({time} / 1000) AT TIME ZONE 'UTC')"),
            // Times at least 2.5 are those at least 3; times below 2.5 are those below 3.
            Kind::Whole => format!("pg_catalog.ceil({time})::int8"),
            Kind::Numeric => format!("{time}::numeric"),
            Kind::Real | Kind::Text => format!("{time}::float8"),
        }
    }

    /// A condition on the column that leaves out what is infinite; `through`: the end belongs to it.
    pub(super) fn between(&self, from: Option<f64>, to: Option<f64>, through: bool) -> String {
        let column = self.column();
        let first = match from.filter(|from| from.is_finite()) {
            Some(from) => format!("{column} >= {}", self.to_sql(&float(self.clamp(from)))),
            None => self.edge(&column, ">", "-infinity"),
        };
        let last = match to.filter(|to| to.is_finite()) {
            Some(to) if through => format!("{column} <= {}", self.through(to)),
            Some(to) => format!("{column} < {}", self.to_sql(&float(self.clamp(to)))),
            None => self.edge(&column, "<", "infinity"),
        };
        format!("{first} AND {last}")
    }

    /// The last time of an open window was made a double: what was cut off by that belongs to it.
    fn through(&self, to: f64) -> String {
        match self.kind {
            Kind::Moment | Kind::Clock | Kind::Day => self.to_sql(&float(self.clamp(to + 0.001))),
            Kind::Whole | Kind::Real | Kind::Numeric | Kind::Text => {
                self.to_sql(&float(self.clamp(if to.abs() > 1e15 { to + to.abs() * 1e-15 } else { to })))
            }
        }
    }

    fn edge(&self, column: &str, symbol: &str, infinity: &str) -> String {
        match self.kind {
            // A number too large for a double counts as infinite.
            Kind::Numeric => format!("{column} {symbol} {}1e300", if symbol == ">" { "-" } else { "" }),
            Kind::Whole | Kind::Text => format!("{column} IS NOT NULL"),
            Kind::Real | Kind::Moment | Kind::Clock | Kind::Day => format!("{column} {symbol} '{infinity}'"),
        }
    }

    fn clamp(&self, time: f64) -> f64 {
        match self.kind {
            Kind::Moment | Kind::Clock | Kind::Day => time.clamp(FIRST_MS, LAST_MS),
            Kind::Whole => time.clamp(-9.2e18, 9.2e18),
            Kind::Real | Kind::Numeric | Kind::Text => time,
        }
    }

    /// SQL for the bucket that a time falls into: its start, where buckets of `width` begin at `from`.
    pub(super) fn bin(&self, time: &str, from: f64, width: f64) -> String {
        match self.kind {
            Kind::Moment | Kind::Clock | Kind::Day => {
                let stride = (width * 1000.0).ceil().clamp(1.0, 9e18);
                let cast = if self.kind == Kind::Day { "::timestamp" } else { "" };
                let origin = self.to_sql(&float(self.clamp(from)));
                format!("pg_catalog.date_bin({stride:.0} * interval '1 microsecond', {time}{cast}, {origin})")
            }
            _ if width > 0.0 => {
                let (from, width) = (float(from), float(width));
                format!("({from} + pg_catalog.floor((({time})::float8 - {from}) / {width}) * {width})")
            }
            _ => float(from),
        }
    }
}

/// A double as SQL.
pub(super) fn float(x: f64) -> String {
    format!("'{x:?}'::float8")
}
