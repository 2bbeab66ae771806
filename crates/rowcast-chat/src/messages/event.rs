//! What has happened to a talk, told in it as a message of kind `event`.

use rowcast::event::Value;
use rowcast::protocol::Problem;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::change::Change;
use crate::rooms::talk::Talk;

/// What has happened.
#[derive(Debug, Clone)]
pub(crate) enum Event<'e> {
    Made,
    Added { by: &'e Who },
    Left,
    Removed { by: &'e Who },
    Renamed { to: &'e str },
    Picture,
    Role { role: &'e str, by: &'e Who },
}

/// Somebody, as called then.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) picture: Option<String>,
}

impl Event<'_> {
    fn to_json(&self, whom: &Who) -> Json {
        let (event, by, more) = match self {
            Self::Made => ("made", None, None),
            Self::Added { by } => ("added", Some(by), None),
            Self::Left => ("left", None, None),
            Self::Removed { by } => ("removed", Some(by), None),
            Self::Renamed { to } => ("renamed", None, Some(("to", *to))),
            Self::Picture => ("picture", None, None),
            Self::Role { role, by } => ("role", Some(by), Some(("role", *role))),
        };
        let mut told = json!({ "event": event, "user": whom.id, "name": whom.name });
        if let Some(by) = by {
            told["by"] = by.id.as_str().into();
            told["by_name"] = by.name.as_str().into();
        }
        if let Some((what, text)) = more {
            told[what] = text.into();
        }
        told
    }
}

impl Change<'_> {
    /// Tells what has happened to somebody, in a talk that was claimed.
    pub(crate) async fn tell(
        &mut self,
        talk: &Talk,
        sender: &str,
        whom: &Who,
        event: &Event<'_>,
    ) -> Result<(), Problem> {
        let cells = vec![
            ("nonce", Value::Text(Uuid::new_v4().to_string().into())),
            ("kind", Value::Text("event".into())),
            ("body", Value::Text(event.to_json(whom).to_string().into())),
        ];
        self.append(talk, sender, cells).await.map(drop)
    }
}
