//! `listen`: addresses as a list, or each in a section with what goes with it.

use std::fmt;
use std::str::FromStr;

use rowcast::gateway::Door;
use toml_edit::{InlineTable, Value};

use super::super::layers::did_you_mean;
use super::super::units::{Listen, Unclear};
use super::{Reader, plain_name, shown};

/// The key.
pub(crate) const KEY: &str = "listen";

const KEYS: [&str; 4] = ["address", "name", "doors", "backlog"];

/// As many as the kernel takes by default (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// One address to serve on.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    pub(crate) address: Listen,
    /// Where there is none: the port.
    pub(crate) name: Option<String>,
    /// What is served there.
    pub(crate) doors: Vec<Offer>,
    /// Connections that may wait to be accepted.
    pub(crate) backlog: u32,
}

/// Something that is served on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offer {
    Door(Door),
    Pages,
    Files,
    Metrics,
}

/// As the configuration has them.
const OFFERS: [(&str, Offer); 7] = [
    ("native", Offer::Door(Door::Native)),
    ("socketio", Offer::Door(Door::SocketIo)),
    ("drop_ins", Offer::Door(Door::DropIns)),
    ("influx", Offer::Door(Door::Influx)),
    ("pages", Offer::Pages),
    ("files", Offer::Files),
    ("metrics", Offer::Metrics),
];

impl Offer {
    /// The gateway's own part of it.
    pub(crate) fn door(self) -> Option<Door> {
        match self {
            Self::Door(door) => Some(door),
            Self::Pages | Self::Files | Self::Metrics => None,
        }
    }
}

impl From<Listen> for Listening {
    fn from(address: Listen) -> Self {
        let doors = OFFERS.iter().map(|(_, offer)| *offer).collect();
        Self { address, name: None, doors, backlog: BACKLOG }
    }
}

impl FromStr for Listening {
    type Err = Unclear;

    fn from_str(text: &str) -> Result<Self, Unclear> {
        text.parse::<Listen>().map(Self::from)
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Reader<'_> {
    pub(super) fn listen(&mut self) -> Vec<Listening> {
        let setting = self.setting(KEY);
        let entries: Vec<Value> = match &setting.value {
            Value::Array(entries) => entries.iter().cloned().collect(),
            Value::String(text) => {
                text.value().split(',').map(str::trim).filter(|text| !text.is_empty()).map(Value::from).collect()
            }
            other => {
                let fix = r#"write ["127.0.0.1:3000", "…"], or [[listen]] before each"#;
                self.wrong(KEY, format!("expected a list of addresses, got {}", shown(other)), fix);
                return Vec::new();
            }
        };
        let read = |(number, entry): (usize, &Value)| match entry {
            Value::String(text) => self.noted(&setting.origin, KEY, text.value().parse()),
            Value::InlineTable(section) => One { number, section, reader: self }.read(),
            other => {
                self.wrong(KEY, format!("expected an address, got {}", shown(other)), "");
                None
            }
        };
        entries.iter().enumerate().filter_map(read).collect()
    }
}

/// One section on its way.
struct One<'r, 'l, 's> {
    number: usize,
    section: &'s InlineTable,
    reader: &'r mut Reader<'l>,
}

impl One<'_, '_, '_> {
    fn read(&mut self) -> Option<Listening> {
        for (key, _) in self.section.iter().filter(|(key, _)| !KEYS.contains(key)) {
            self.wrong(key, "there is no such key", did_you_mean(key, KEYS.into_iter()));
        }
        let address = match self.section.get("address") {
            Some(address) => self.parsed("address", address, |text| text.parse::<Listening>()),
            None => {
                self.wrong("address", "this key is missing", r#"write for example address = "0.0.0.0:9000""#);
                None
            }
        };
        let name = self.section.get("name").and_then(|name| self.parsed("name", name, plain_name));
        let doors = self.section.get("doors").map(|doors| self.doors(doors));
        let backlog = self.section.get("backlog").map(|backlog| self.backlog(backlog));
        let all = address?;
        Some(Listening {
            name,
            doors: doors.unwrap_or_else(|| all.doors.clone()),
            backlog: backlog.unwrap_or(all.backlog),
            ..all
        })
    }

    fn doors(&mut self, value: &Value) -> Vec<Offer> {
        let names = || OFFERS.map(|(name, _)| format!("{name:?}")).join(", ");
        let Some(entries) = value.as_array() else {
            self.wrong("doors", format!("expected a list, got {}", shown(value)), format!("write some of {}", names()));
            return Vec::new();
        };
        let mut doors = Vec::new();
        for entry in entries.iter() {
            match OFFERS.iter().find(|(name, _)| entry.as_str() == Some(*name)) {
                Some((_, offer)) => doors.push(*offer),
                None => self.wrong("doors", format!("{} is no door", shown(entry)), format!("there are {}", names())),
            }
        }
        doors
    }

    fn backlog(&mut self, value: &Value) -> u32 {
        match value.as_integer().and_then(|backlog| u32::try_from(backlog).ok()) {
            Some(backlog @ 1..=1_000_000) => backlog,
            _ => {
                self.wrong("backlog", format!("expected a number, 1 to 1000000, got {}", shown(value)), "");
                BACKLOG
            }
        }
    }

    fn parsed<T>(&mut self, key: &str, value: &Value, parse: impl Fn(&str) -> Result<T, Unclear>) -> Option<T> {
        let Some(text) = value.as_str() else {
            self.wrong(key, format!("expected text, got {}", shown(value)), "");
            return None;
        };
        parse(text).map_err(|unclear| self.wrong(key, unclear.what, unclear.fix)).ok()
    }

    fn wrong(&mut self, key: &str, what: impl Into<String>, fix: impl Into<String>) {
        let origin = self.reader.setting(KEY).origin.clone();
        self.reader.mistakes.push(&origin, &format!("{KEY}[{}].{key}", self.number), what, fix);
    }
}
