//! Results as Markdown tables: what is printed can go into `docs/performance.md` as it is.

use std::fmt::{self, Display, Write};

/// A table that prints itself with its columns aligned.
pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Self {
        let head = head.iter().map(ToString::to_string).collect();
        Self { title: title.into(), rows: vec![head], notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// A sentence under the table.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows[0].len();
        let width = |i: usize| self.rows.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|i| width(i).unwrap_or(0)).collect();
        writeln!(f, "\n### {}\n", self.title)?;
        for (number, row) in self.rows.iter().enumerate() {
            writeln!(f, "{}", line(row, &widths))?;
            if number == 0 {
                let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
                writeln!(f, "{}", line(&rule, &widths))?;
            }
        }
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

/// The first column holds names, the others numbers.
fn line(cells: &[String], widths: &[usize]) -> String {
    let mut out = String::from("|");
    for (i, width) in widths.iter().enumerate() {
        let cell = cells.get(i).map_or("", |c| c.as_str());
        let written = match i {
            0 => write!(out, " {cell:<width$} |"),
            _ => write!(out, " {cell:>width$} |"),
        };
        written.expect("a string takes all");
    }
    out
}

/// Three digits that matter.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 10_000.0 => thousands(value.round() as i64),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// How often `floor` goes into `value`.
pub(crate) fn ratio(value: f64, floor: f64) -> String {
    if floor > 0.0 { format!("{:.2}×", value / floor) } else { "–".into() }
}

fn thousands(value: i64) -> String {
    let digits = value.abs().to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if value < 0 { format!("-{out}") } else { out }
}
