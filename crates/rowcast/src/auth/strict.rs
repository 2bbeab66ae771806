//! JSON as a token may have it: an object, nothing in it said twice, and not deep.
//!
//! Of two claims of one name, readers take the first or the last: whoever can add one could say something else to each.

use std::fmt;

use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

/// How deep claims may be.
const DEPTH_MAX: usize = 16;

/// Why a text is not such JSON. What was wrong helps nobody who may know it.
#[derive(Debug)]
pub(super) struct NotStrict;

/// Reads an object.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Json>, NotStrict> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = serde::de::DeserializeSeed::deserialize(Strict(DEPTH_MAX), &mut reader).map_err(|_| NotStrict)?;
    reader.end().map_err(|_| NotStrict)?;
    match read {
        Json::Object(map) => Ok(map),
        _ => Err(NotStrict),
    }
}

/// How much deeper it may become.
#[derive(Clone, Copy)]
struct Strict(usize);

impl<'de> serde::de::DeserializeSeed<'de> for Strict {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        reader.deserialize_any(self)
    }
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| E::custom("too deep"))
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            read.push(item);
        }
        Ok(read.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let deeper = self.deeper()?;
        let mut read = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(deeper)?;
            if read.insert(name, value).is_some() {
                return Err(A::Error::custom("said twice"));
            }
        }
        Ok(read.into())
    }
}
