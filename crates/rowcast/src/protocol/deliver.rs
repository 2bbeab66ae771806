//! Delivery classes: how much of what happens a subscription wants to hear.
//!
//! `strict` is everything. The others conflate: what a newer change has made old is left out, and counted. What exactly
//! that means is in docs/protocol.md; `hub::conflate` does it.

use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use super::{Code, Problem};
use crate::event::Table;

/// The longest time between two flushes, and the widest bucket.
const INTERVAL_MAX_MS: u64 = 3_600_000;
/// The most buckets of a second.
const PER_SECOND_MAX: f64 = 1000.0;

/// The class that a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Deliver {
    /// Every change, in order.
    #[default]
    Strict,
    /// What has changed since the client took the last frames, newest of each key.
    Latest,
    /// The same, and no more often than this.
    Every(Duration),
    /// For charts.
    Sample(Sample),
}

/// `{"sample": …}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The width of a bucket of time, in microseconds.
    pub width_us: u64,
    /// The columns whose least and greatest values are kept; none: all that are shown and no part of the key.
    pub value: Vec<String>,
    /// Rows that differ in this column are of different lines of the chart.
    pub group_by: Option<String>,
}

/// A class, tied to the columns of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Class {
    /// See [`Deliver::Latest`].
    Latest,
    /// See [`Deliver::Every`].
    Every(Duration),
    /// See [`Deliver::Sample`].
    Sample(Sampling),
}

/// See [`Sample`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sampling {
    /// The width of a bucket of time, in microseconds.
    pub width_us: u64,
    /// Indexes of the value columns.
    pub values: Box<[usize]>,
    /// The index of the column that tells lines apart.
    pub group: Option<usize>,
}

impl Sampling {
    /// The bucket of a moment: bucket `n` begins `n` widths after 1970.
    pub fn bucket(&self, time_ms: u64) -> u64 {
        time_ms.saturating_mul(1000) / self.width_us
    }
}

impl Sample {
    /// How long it is until the bucket of a moment is over.
    pub fn rest(&self, since_1970: Duration) -> Duration {
        let into = since_1970.as_micros() % u128::from(self.width_us);
        Duration::from_micros(self.width_us - into as u64)
    }
}

impl Deliver {
    /// Ties the class to a table's columns; `None` where nothing is conflated. `shown` are the columns that are shown.
    pub fn class(
        &self,
        table: &Table,
        shown: &[usize],
        find: impl Fn(&str) -> Result<usize, Problem>,
    ) -> Result<Option<Class>, Problem> {
        let sample = match self {
            Self::Strict => return Ok(None),
            Self::Latest => return Ok(Some(Class::Latest)),
            Self::Every(interval) => return Ok(Some(Class::Every(*interval))),
            Self::Sample(sample) => sample,
        };
        let values = match sample.value.is_empty() {
            true => shown.iter().copied().filter(|column| !table.key.contains(column)).collect(),
            false => sample.value.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
        };
        let group = sample.group_by.as_deref().map(find).transpose()?;
        Ok(Some(Class::Sample(Sampling { width_us: sample.width_us, values, group })))
    }

    /// Reads the short form, as a query string has it: `strict`, `latest`, `every=250ms`, `sample=10`, or the JSON of
    /// `subscribe`. `:` will do for `=`.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let text = text.trim();
        if text.starts_with('{') {
            return serde_json::from_str(text).map_err(|error| wrong(&error.to_string()));
        }
        let (word, rest) = match text.split_once(['=', ':']) {
            Some((word, rest)) => (word.trim(), Some(rest.trim())),
            None => (text, None),
        };
        match (word, rest) {
            ("strict", None) => Ok(Self::Strict),
            ("latest", None) => Ok(Self::Latest),
            ("every", Some(time)) => every(milliseconds(time)?),
            ("sample", Some(number)) => {
                let number = number.parse().map_err(|_| wrong("`sample` takes a number of buckets for each second"))?;
                sample(number, Vec::new(), None)
            }
            _ => Err(wrong("that is none of the delivery classes")),
        }
    }
}

/// `250ms`, `2s`, or milliseconds without a unit.
fn milliseconds(text: &str) -> Result<u64, Problem> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong("`every` takes a time such as 250ms"))?;
    match unit.trim() {
        "ms" | "" => Ok(number),
        "s" => Ok(number.saturating_mul(1000)),
        _ => Err(wrong("the units of time are ms and s")),
    }
}

fn every(ms: u64) -> Result<Deliver, Problem> {
    match ms {
        1..=INTERVAL_MAX_MS => Ok(Deliver::Every(Duration::from_millis(ms))),
        _ => Err(wrong("the time between two flushes is 1 ms to an hour")),
    }
}

fn sample(per_second: f64, value: Vec<String>, group_by: Option<String>) -> Result<Deliver, Problem> {
    let width_us = (1_000_000.0 / per_second).round();
    if !(per_second > 0.0 && per_second <= PER_SECOND_MAX && width_us <= (INTERVAL_MAX_MS * 1000) as f64) {
        return Err(wrong("the buckets of a second are at most 1,000, and one is at most an hour wide"));
    }
    Ok(Deliver::Sample(Sample { width_us: width_us as u64, value, group_by }))
}

fn wrong(why: &str) -> Problem {
    Problem::new(Code::BadMessage, format!("`deliver`: {why}"))
        .hint("write strict, latest, every=250ms or sample=10; in JSON \"latest\", {\"every_ms\":250} or {\"sample\":{\"per_second\":10,\"value\":\"speed\"}}")
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`deliver` is \"strict\", \"latest\", {\"every_ms\": 250}, {\"sample\": 10} or {\"sample\": {\"per_second\": 10, \"value\": …, \"group_by\": …}}"
)]
enum Written {
    Text(String),
    Every(WrittenEvery),
    Sample(WrittenSample),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenEvery {
    every_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSample {
    sample: WrittenBuckets,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenBuckets {
    PerSecond(f64),
    Parts(WrittenParts),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenParts {
    per_second: f64,
    #[serde(default)]
    value: Option<OneOrMore>,
    #[serde(default)]
    group_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Vec<String> {
    fn from(names: OneOrMore) -> Self {
        match names {
            OneOrMore::One(name) => vec![name],
            OneOrMore::More(names) => names,
        }
    }
}

impl<'de> Deserialize<'de> for Deliver {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = match Written::deserialize(deserializer)? {
            // Not the JSON form within a text: one level is enough.
            Written::Text(text) if text.trim_start().starts_with('{') => Err(wrong("that is none of the classes")),
            Written::Text(text) => Self::parse(&text),
            Written::Every(WrittenEvery { every_ms }) => every(every_ms),
            Written::Sample(WrittenSample { sample: WrittenBuckets::PerSecond(n) }) => sample(n, Vec::new(), None),
            Written::Sample(WrittenSample { sample: WrittenBuckets::Parts(parts) }) => {
                sample(parts.per_second, parts.value.map(Vec::from).unwrap_or_default(), parts.group_by)
            }
        };
        read.map_err(|problem| D::Error::custom(problem.message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(width_us: u64, value: &[&str], group_by: Option<&str>) -> Deliver {
        let value = value.iter().map(|name| (*name).to_owned()).collect();
        Deliver::Sample(Sample { width_us, value, group_by: group_by.map(Into::into) })
    }

    #[test]
    fn every_form_of_a_class_is_read() {
        let quarter = Deliver::Every(Duration::from_millis(250));
        for (json, deliver) in [
            (r#""strict""#, Deliver::Strict),
            (r#""latest""#, Deliver::Latest),
            (r#"{"every_ms":250}"#, quarter.clone()),
            (r#""every=250ms""#, quarter.clone()),
            (r#""every:250""#, quarter.clone()),
            (r#""every=2s""#, Deliver::Every(Duration::from_secs(2))),
            (r#""sample=10""#, sampled(100_000, &[], None)),
            (r#"{"sample":0.5}"#, sampled(2_000_000, &[], None)),
            (r#"{"sample":{"per_second":3,"value":"a"}}"#, sampled(333_333, &["a"], None)),
            (
                r#"{"sample":{"per_second":1,"value":["a","b"],"group_by":"g"}}"#,
                sampled(1_000_000, &["a", "b"], Some("g")),
            ),
        ] {
            assert_eq!(serde_json::from_str::<Deliver>(json).expect(json), deliver, "{json}");
            assert_eq!(Deliver::parse(json.trim_matches('"')).expect(json), deliver, "{json}");
        }
    }

    #[test]
    fn what_is_no_class_is_refused() {
        for text in [
            "",
            "newest",
            "latest=1",
            "every",
            "every=",
            "every=0ms",
            "every=2h",
            "every=99999999999999999999",
            "sample=",
            "sample=0",
            "sample=-1",
            "sample=1e9",
            "sample=NaN",
            "sample=0.00001",
            "{}",
            "{\"every_ms\":-1}",
            "{\"every_ms\":1,\"x\":1}",
            "{\"sample\":{}}",
            "{\"sample\":{\"per_second\":1,\"time\":\"t\"}}",
        ] {
            let problem = Deliver::parse(text).expect_err(text);
            assert_eq!(problem.code, Code::BadMessage, "{text}");
        }
    }

    #[test]
    fn buckets_are_counted_from_1970() {
        let sampling = Sampling { width_us: 100_000, values: [].into(), group: None };
        assert_eq!((sampling.bucket(99), sampling.bucket(100), sampling.bucket(u64::MAX) > 0), (0, 1, true));
        let Deliver::Sample(sample) = Deliver::parse("sample=10").expect("a class") else { panic!("sample") };
        assert_eq!(sample.rest(Duration::from_millis(130)), Duration::from_millis(70));
        assert_eq!(sample.rest(Duration::from_millis(200)), Duration::from_millis(100));
    }
}
