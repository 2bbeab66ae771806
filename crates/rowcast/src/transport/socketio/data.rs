//! What events and answers carry: JSON arguments, and binary messages beside them.

use std::cell::RefCell;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The arguments of an event or of an answer, as they came or as they go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// JSON, separated by commas.
    pub(super) json: String,
    pub(super) count: usize,
    /// What its placeholders stand for.
    pub(super) attachments: Vec<Bytes>,
}

/// Data that could not be written as JSON, or arguments that are not what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongData(String);

impl From<serde_json::Error> for WrongData {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

impl Arguments {
    /// One argument; `()` is none.
    pub fn one<T: Serialize + ?Sized>(data: &T) -> Result<Self, WrongData> {
        let (json, attachments) = with_attachments(Vec::new(), || serde_json::to_string(data));
        // Nothing in it, and nothing said: `()`.
        if size_of_val(data) == 0 && matches!(json.as_deref(), Ok("null")) {
            return Ok(Self::default());
        }
        Ok(Self { json: json?, count: 1, attachments })
    }

    /// Several arguments: the elements of a tuple, an array or a vector.
    pub fn several<T: Serialize + ?Sized>(data: &T) -> Result<Self, WrongData> {
        let (json, attachments) = with_attachments(Vec::new(), || serde_json::to_string(data));
        let json = json?;
        let all: Vec<&RawValue> =
            serde_json::from_str(&json).map_err(|_| WrongData("several arguments are a tuple or a list".into()))?;
        Ok(Self::joined(all.into_iter().map(RawValue::get), attachments))
    }

    pub(super) fn joined<'a>(json: impl Iterator<Item = &'a str>, attachments: Vec<Bytes>) -> Self {
        let mut all = Self { json: String::new(), count: 0, attachments };
        for argument in json {
            if all.count > 0 {
                all.json.push(',');
            }
            all.json.push_str(argument);
            all.count += 1;
        }
        all
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// What they are: one argument as itself, several as a tuple or a list, none as `()` or `None`.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, WrongData> {
        let read = || match self.count {
            0 => serde_json::from_str("null"),
            1 => serde_json::from_str(&self.json),
            _ => serde_json::from_str(&format!("[{}]", self.json)),
        };
        Ok(with_attachments(self.attachments.clone(), read).0?)
    }

    /// Whether a client would take the last argument for a position to recover from.
    pub(super) fn ends_with_text(&self) -> bool {
        self.json.ends_with('"')
    }
}

/// Bytes that travel as a binary message of their own. Goes into anything that serde writes and reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Binary(pub Bytes);

thread_local! {
    /// The attachments of what is being written or read on this thread.
    static ATTACHMENTS: RefCell<Option<Vec<Bytes>>> = const { RefCell::new(None) };
}

/// Does some reading or writing that never waits, and returns the attachments as it leaves them.
fn with_attachments<T>(attachments: Vec<Bytes>, work: impl FnOnce() -> T) -> (T, Vec<Bytes>) {
    // Whatever the work does, the thread's own are put back.
    struct Restore(Option<Vec<Bytes>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            ATTACHMENTS.set(self.0.take());
        }
    }
    let _restore = Restore(ATTACHMENTS.replace(Some(attachments)));
    let done = work();
    (done, ATTACHMENTS.take().unwrap_or_default())
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = ATTACHMENTS.with_borrow_mut(|all| {
            let all = all.as_mut()?;
            all.push(self.0.clone());
            Some(all.len() - 1)
        });
        match number {
            // Outside of Socket.IO, it is what bytes are there.
            None => serializer.serialize_bytes(&self.0),
            Some(number) => {
                let mut placeholder = serializer.serialize_struct("Binary", 2)?;
                placeholder.serialize_field("_placeholder", &true)?;
                placeholder.serialize_field("num", &number)?;
                placeholder.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Placeholder {
            _placeholder: bool,
            num: usize,
        }
        let placeholder = Placeholder::deserialize(deserializer)?;
        let found = ATTACHMENTS.with_borrow(|all| all.as_ref()?.get(placeholder.num).cloned());
        found.map(Self).ok_or_else(|| serde::de::Error::custom("a placeholder for no attachment"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct File {
        name: String,
        body: Binary,
    }

    #[test]
    fn binary_goes_beside_the_json_and_comes_back() {
        let file = File { name: "a".into(), body: Binary(Bytes::from_static(&[1, 2])) };
        let one = Arguments::one(&file).expect("written");
        assert_eq!(one.json, r#"{"name":"a","body":{"_placeholder":true,"num":0}}"#);
        assert_eq!(one.to::<File>().expect("read"), file);
        let two = Arguments::several(&(Binary(Bytes::from_static(b"x")), &file)).expect("written");
        assert_eq!((two.count, two.attachments.len()), (2, 2));
        assert_eq!(two.to::<(Binary, File)>().expect("read").1, file);
        let lost = Arguments { attachments: Vec::new(), ..one };
        assert!(lost.to::<File>().is_err());
    }

    #[test]
    fn one_argument_is_itself_and_several_are_a_list() {
        assert_eq!(Arguments::one(&[1, 2]).expect("written").json, "[1,2]");
        assert_eq!(Arguments::several(&[1, 2]).expect("written").json, "1,2");
        assert_eq!(Arguments::one(&()).expect("written"), Arguments::default());
        assert_eq!(Arguments::one(&None::<u32>).expect("written").json, "null");
        assert!(Arguments::several(&1).is_err());
        let none = Arguments::default();
        assert!(none.to::<()>().is_ok() && none.to::<Option<u32>>().is_ok_and(|n| n.is_none()));
        assert!(none.to::<u32>().is_err());
    }
}
