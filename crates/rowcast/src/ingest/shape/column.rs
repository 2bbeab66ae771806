//! What is asked of one column.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use regex::{Regex, RegexBuilder};

use super::{ShapeError, moment, shown};
use crate::ingest::decode::Field;

/// The most bytes that a compiled pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// What may be asked of a column.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Limits {
    /// It must be there, and not NULL.
    pub required: bool,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// A regular expression that the whole text must match.
    pub matches: Option<String>,
    /// The texts that it may be. Empty: any.
    pub one_of: Vec<String>,
    /// The most characters.
    pub length_max: Option<usize>,
    /// How long ago the moment may be.
    pub max_age: Option<Duration>,
    /// How far ahead of now the moment may be.
    pub max_future: Option<Duration>,
    /// How the moment is written; found out where it is not said.
    pub unit: Option<TimeUnit>,
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    /// Milliseconds since 1970.
    Milliseconds,
    /// Seconds since 1970.
    Seconds,
    /// Date and time as ISO 8601 has them; UTC where no zone is given.
    Iso,
}

/// What is asked of a column, ready to be checked.
#[derive(Debug, Clone)]
pub struct Column {
    limits: Limits,
    pattern: Option<Regex>,
}

impl Column {
    /// Refuses limits that nothing can keep, and patterns that are none.
    pub fn new(limits: Limits) -> Result<Self, ShapeError> {
        let bounds = [("min", limits.min), ("max", limits.max)];
        if let Some((name, _)) = bounds.iter().find(|(_, bound)| bound.is_some_and(|bound| !bound.is_finite())) {
            return Err(ShapeError(format!("{name} must be a finite number")));
        }
        if let (Some(min), Some(max)) = (limits.min, limits.max)
            && min > max
        {
            return Err(ShapeError(format!("min ({min}) is greater than max ({max})")));
        }
        let pattern = limits.matches.as_ref().map(|pattern| {
            RegexBuilder::new(&format!(r"\A(?:{pattern})\z"))
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES)
                .build()
                .map_err(|error| {
                    let said = error.to_string();
                    let last = said.lines().last().unwrap_or(&said).trim_start_matches("error: ").to_owned();
                    ShapeError(format!("matches: {pattern:?} is not a regular expression: {last}"))
                })
        });
        Ok(Self { pattern: pattern.transpose()?, limits })
    }

    /// What is wrong with a value.
    pub(super) fn check(&self, field: &Field, now: SystemTime) -> Result<(), String> {
        let limits = &self.limits;
        let text = match field {
            Field::Null if limits.required => return Err("is required, got nothing".into()),
            Field::Null => return Ok(()),
            Field::Bool(true) => "true",
            Field::Bool(false) => "false",
            Field::Number(text) | Field::Text(text) | Field::Json(text) => text,
        };
        if limits.min.is_some() || limits.max.is_some() {
            self.check_range(field, text)?;
        }
        if limits.length_max.is_some_and(|max| text.chars().count() > max) {
            return Err(format!("is longer than {} characters", limits.length_max.unwrap_or_default()));
        }
        if !limits.one_of.is_empty() && !limits.one_of.iter().any(|one| one == text) {
            return Err(format!("expected one of {}, got {}", list(&limits.one_of), shown(field)));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(text)
        {
            let wanted = limits.matches.as_deref().unwrap_or_default();
            return Err(format!("does not match {wanted:?}: {}", shown(field)));
        }
        if limits.max_age.is_some() || limits.max_future.is_some() || limits.unit.is_some() {
            self.check_moment(field, text, now)?;
        }
        Ok(())
    }

    fn check_range(&self, field: &Field, text: &str) -> Result<(), String> {
        let number = match field {
            Field::Number(_) | Field::Text(_) => text.trim_ascii().parse::<f64>().ok().filter(|n| n.is_finite()),
            _ => None,
        };
        let Some(number) = number else { return Err(format!("expected a number, got {}", shown(field))) };
        match (self.limits.min, self.limits.max) {
            (Some(min), _) if number < min => Err(format!("{} is less than {min}", shown(field))),
            (_, Some(max)) if number > max => Err(format!("{} is more than {max}", shown(field))),
            _ => Ok(()),
        }
    }

    fn check_moment(&self, field: &Field, text: &str, now: SystemTime) -> Result<(), String> {
        let now_ms = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64;
        let ms = moment::milliseconds(text, self.limits.unit).ok_or_else(|| {
            let what = match self.limits.unit {
                Some(TimeUnit::Milliseconds) => "milliseconds since 1970",
                Some(TimeUnit::Seconds) => "seconds since 1970",
                Some(TimeUnit::Iso) => "a date and time such as 2026-01-31T12:00:00Z",
                None => "a moment",
            };
            format!("expected {what}, got {}", shown(field))
        })?;
        if let Some(age) = self.limits.max_age
            && now_ms - ms > age.as_secs_f64() * 1e3
        {
            return Err(format!("{} is longer ago than {age:?}", shown(field)));
        }
        if let Some(future) = self.limits.max_future
            && ms - now_ms > future.as_secs_f64() * 1e3
        {
            return Err(format!("{} is more than {future:?} ahead of now", shown(field)));
        }
        Ok(())
    }
}

fn list(texts: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut list = texts.iter().take(SHOWN).map(|text| format!("{text:?}")).collect::<Vec<_>>().join(", ");
    if texts.len() > SHOWN {
        list.push_str(", …");
    }
    list
}
