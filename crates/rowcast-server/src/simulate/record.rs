//! Record `n` of a seed: always the same, whoever asks and whenever.

use std::str::FromStr;

use super::chance::{For, below, bits, share};
use super::schedule::{SECOND, Schedule};
use super::spoil::Kind;
use super::wave::Wave;

/// More than any reader takes for one record.
const HUGE_BYTES: usize = 3 << 19;
/// Ten years, in milliseconds.
const FAR_MS: u64 = 3_652 * 86_400_000;

/// What every record of one seed is made of.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) seed: u64,
    pub(super) wave: Wave,
    pub(super) schedule: Schedule,
    /// Record `n` is of sensor `n % sensors`.
    pub(super) sensors: u64,
    pub(super) fields: Vec<FieldName>,
    /// Values as numbers instead of text.
    pub(super) numbers: bool,
    /// How many of all records are malformed, from 0 to 1.
    pub(super) malformed: f64,
    pub(super) kinds: Vec<Kind>,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Time,
    Speed,
    Sensor,
    Seq,
}

/// A field and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldName {
    pub(super) what: What,
    pub(super) name: String,
}

impl FieldName {
    pub(super) fn plain(what: What) -> Self {
        let name = match what {
            What::Time => "time",
            What::Speed => "speed",
            What::Sensor => "sensor",
            What::Seq => "seq",
        };
        Self { what, name: name.into() }
    }
}

impl FromStr for FieldName {
    type Err = String;

    /// Reads `speed`, or `speed=temperature` where it is called so.
    fn from_str(text: &str) -> Result<Self, String> {
        let (what, name) = text.split_once('=').unwrap_or((text, text));
        let what = match what {
            "time" => What::Time,
            "speed" => What::Speed,
            "sensor" => What::Sensor,
            "seq" => What::Seq,
            _ => return Err(format!("there is no `{what}`; write time, speed, sensor or seq")),
        };
        let odd = |c: char| c.is_control() || matches!(c, '"' | '\\');
        if name.is_empty() || name.contains(odd) {
            return Err(format!("{name:?} is not a name for a field"));
        }
        Ok(Self { what, name: name.into() })
    }
}

impl Records {
    /// What is wrong with record `n`.
    pub(super) fn spoiled(&self, n: u64) -> Option<Kind> {
        let count = self.kinds.len() as u64;
        let is = count > 0 && share(self.seed, n, For::Malformed) < self.malformed;
        is.then(|| self.kinds[below(count, self.seed, n, For::Kind) as usize])
    }

    /// The values of record `n`, in the order of the fields, as text. `time_ms` is the moment when it is due.
    pub(super) fn values(&self, n: u64, time_ms: u64) -> impl Iterator<Item = (&FieldName, String)> {
        self.fields.iter().map(move |field| {
            let value = match field.what {
                What::Time => time_ms.to_string(),
                What::Speed => self.speed(n),
                What::Sensor => self.sensor(n),
                What::Seq => n.to_string(),
            };
            (field, value)
        })
    }

    /// The name of the sensor of record `n`.
    pub(super) fn sensor(&self, n: u64) -> String {
        format!("s{}", n % self.sensors + 1)
    }

    fn speed(&self, n: u64) -> String {
        let seconds = self.schedule.due(n) as f64 / SECOND as f64;
        let value = self.wave.value(self.seed, n % self.sensors, n, seconds);
        format!("{value:.*}", usize::from(self.wave.decimals))
    }

    /// Appends record `n` as a line without its end, and says what is wrong with it.
    pub(super) fn line(&self, n: u64, time_ms: u64, out: &mut Vec<u8>) -> Option<Kind> {
        let spoiled = self.spoiled(n);
        let begin = out.len();
        if spoiled == Some(Kind::List) {
            out.push(b'[');
        }
        self.object(n, time_ms, spoiled, out);
        match spoiled {
            Some(Kind::List) => out.push(b']'),
            Some(Kind::Truncated) => {
                // At least the brace is there, and the last one is not.
                let length = (out.len() - begin) as u64;
                let keep = 1 + bits(self.seed, n, For::Place) % (length - 1);
                out.truncate(begin + keep as usize);
            }
            _ => {}
        }
        spoiled
    }

    fn object(&self, n: u64, time_ms: u64, spoiled: Option<Kind>, out: &mut Vec<u8>) {
        out.push(b'{');
        let time_ms = if spoiled == Some(Kind::Future) { time_ms + FAR_MS } else { time_ms };
        let mut first = true;
        for (field, value) in self.values(n, time_ms) {
            let speed = field.what == What::Speed;
            if speed && spoiled == Some(Kind::Missing) {
                continue;
            }
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            out.extend_from_slice(format!("\"{}\":", field.name).as_bytes());
            match spoiled {
                Some(Kind::Nan) if speed => out.extend_from_slice(b"NaN"),
                Some(Kind::Type) if speed => out.extend_from_slice(b"\"fast\""),
                Some(Kind::Range) if speed => self.value("999", field.what, out),
                Some(Kind::Utf8) if speed => out.extend_from_slice(b"\"\xff\xfe\""),
                _ => self.value(&value, field.what, out),
            }
        }
        match spoiled {
            Some(Kind::Extra) => out.extend_from_slice(b",\"extra\":[1,{\"a\":\"b\"}]"),
            Some(Kind::Huge) => {
                out.extend_from_slice(b",\"huge\":\"");
                out.resize(out.len() + HUGE_BYTES, b'x');
                out.push(b'"');
            }
            _ => {}
        }
        out.push(b'}');
    }

    fn value(&self, value: &str, what: What, out: &mut Vec<u8>) {
        // What is counted is a number in any case; the simulator that this one goes back to writes the others as text.
        let bare = what == What::Seq || (self.numbers && what != What::Sensor);
        let quote: &[u8] = if bare { b"" } else { b"\"" };
        for part in [quote, value.as_bytes(), quote] {
            out.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wave::Shape;
    use super::*;

    fn records(seed: u64) -> Records {
        Records {
            seed,
            wave: Wave::new(Shape::Seed),
            schedule: Schedule::steady(1.0),
            sensors: 1,
            fields: vec![FieldName::plain(What::Time), FieldName::plain(What::Speed)],
            numbers: false,
            malformed: 0.0,
            kinds: Kind::USUAL.into(),
        }
    }

    fn line(records: &Records, n: u64) -> Vec<u8> {
        let mut line = Vec::new();
        records.line(n, 1_718_000_000_123, &mut line);
        line
    }

    #[test]
    fn the_line_is_that_of_the_original() {
        let text = String::from_utf8(line(&records(7), 3)).expect("text");
        let speed = text.strip_prefix("{\"time\":\"1718000000123\",\"speed\":\"").expect(&text);
        let speed: u32 = speed.strip_suffix("\"}").expect(&text).parse().expect(&text);
        assert!(speed <= 50);
    }

    #[test]
    fn a_record_depends_on_its_seed_and_number_alone() {
        let full = |seed| Records {
            sensors: 3,
            malformed: 0.3,
            fields: ["seq", "sensor", "time", "speed=v"].map(|f| f.parse().expect(f)).into(),
            ..records(seed)
        };
        let forwards: Vec<_> = (0..500).map(|n| line(&full(7), n)).collect();
        let mut backwards: Vec<_> = (0..500).rev().map(|n| line(&full(7), n)).collect();
        backwards.reverse();
        assert_eq!(forwards, backwards);
        assert_ne!(forwards, (0..500).map(|n| line(&full(8), n)).collect::<Vec<_>>());
        let fourth = (0..).find(|n| n % 3 == 1 && full(7).spoiled(*n).is_none()).expect("some are good");
        let text = String::from_utf8(forwards[fourth as usize].clone()).expect("text");
        assert!(text.starts_with(&format!("{{\"seq\":{fourth},\"sensor\":\"s2\",\"time\":\"171")), "{text}");
    }

    #[test]
    fn the_malformed_share_is_exact_for_a_seed() {
        let spoiled = |seed, share| {
            let records = Records { malformed: share, ..records(seed) };
            (0..100_000).filter(|n| records.spoiled(*n).is_some()).count()
        };
        assert_eq!([spoiled(7, 0.01), spoiled(8, 0.01)], [1_013, 1_027]);
        assert_eq!([spoiled(7, 0.0), spoiled(7, 1.0)], [0, 100_000]);
    }

    #[test]
    fn each_kind_is_wrong_in_its_own_way() {
        for kind in [Kind::USUAL.as_slice(), &[Kind::Huge]].concat() {
            let records = Records { malformed: 1.0, kinds: vec![kind], ..records(7) };
            for n in 0..50 {
                let line = line(&records, n);
                let read = serde_json::from_slice::<serde_json::Value>(&line);
                let is_right = match (kind, &read) {
                    (Kind::Truncated | Kind::Nan | Kind::Utf8, read) => read.is_err(),
                    (Kind::Type, Ok(read)) => read["speed"] == "fast",
                    (Kind::Missing, Ok(read)) => read.get("speed").is_none() && read["time"].is_string(),
                    (Kind::Range, Ok(read)) => read["speed"] == "999",
                    (Kind::Future, Ok(read)) => read["time"].as_str().is_some_and(|t| t > "2000000000000"),
                    (Kind::List, Ok(read)) => read.is_array(),
                    (Kind::Huge, Ok(_)) => line.len() > 1 << 20,
                    (Kind::Extra, Ok(read)) => read["extra"].is_array() && kind.is_good(),
                    _ => false,
                };
                assert!(is_right, "{kind:?} {n}: {}", String::from_utf8_lossy(&line[..line.len().min(200)]));
                assert!(!line.contains(&b'\n'));
            }
        }
    }
}
