//! A chat for people, on nothing but Rowcast's public interface: tables, rules, subscriptions and presence.
//!
//! What is read is read as by any client of Rowcast: `docs/chat.md` tells the tables and channels. What is written goes by the routes under
//! `/chat/api`, each of which changes the database at once or not at all; the changes come back through capture, like anybody's.
//!
//! ```no_run
//! # async fn start(auth: rowcast::auth::Auth, database: rowcast::gateway::Database) -> Result<(), Box<dyn std::error::Error>> {
//! use rowcast::gateway::Gateway;
//! use rowcast_chat::{Chat, Settings};
//!
//! // `auth` has the chat's rules (`rowcast_chat::rules()`), a key that signs, and a cookie.
//! let chat = Chat::new(Settings::default())?;
//! let gateway = chat.prepare(Gateway::builder().database(database).auth(auth)).start().await?;
//! let app = gateway.router().merge(chat.routes(&gateway));
//! # drop(app); Ok(()) }
//! ```

mod accounts;
mod change;
mod clock;
mod contacts;
mod emoji;
mod files;
mod house;
mod link;
mod mail;
mod messages;
mod openapi;
mod paths;
mod person;
mod problems;
mod profile;
mod public;
mod reactions;
mod receipts;
mod recent;
mod records;
mod rooms;
mod routes;
mod rules;
mod seen;
mod settings;
mod steps;
mod tables;
mod unread;
mod words;

pub use rules::rules;
pub use settings::{FilesPlace, Settings, Smtp};

use axum::Router;
use rowcast::gateway::{Builder, Gateway};
use rowcast::store::TableSpec;

use files::place::Place;
use house::House;
use mail::Mail;

/// A chat, to be joined to a gateway.
pub struct Chat {
    settings: Settings,
    mail: Mail,
    place: Place,
}

/// Why there is no chat. Says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ChatError(pub(crate) String);

impl Chat {
    /// Looks at the settings, and makes the folder of its files where that is not there.
    pub fn new(settings: Settings) -> Result<Self, ChatError> {
        let mail = Mail::new(settings.smtp.as_ref())?;
        let place = Place::open(&settings.files)?;
        Ok(Self { settings, mail, place })
    }

    /// What it needs of a gateway: its tables. Its [`rules()`] have to be among those of the gateway's `Auth`, before all others.
    pub fn prepare(&self, builder: Builder) -> Builder {
        let all = |of: fn(&steps::Step) -> fn() -> Vec<TableSpec>| {
            steps::STEPS.iter().flat_map(|step| of(step)()).collect::<Vec<_>>()
        };
        let builder = builder.tables(all(|step| step.shown)).private_tables(all(|step| step.private));
        let columns = steps::STEPS.iter().flat_map(|step| (step.columns)());
        columns.fold(builder, |builder, (table, columns)| builder.columns(table, columns))
    }

    /// The names of tables that are the chat's own: neither captured nor shown to anybody.
    pub fn private_tables() -> Vec<String> {
        steps::STEPS.iter().flat_map(|step| (step.private)()).map(|table| table.name.name.to_string()).collect()
    }

    /// Everything under `/chat/api`: clones of it are the same chat, on as many ports as you like.
    ///
    /// Begins a task that sweeps files which nobody has a use for, as long as the routes are there: panics outside of a Tokio runtime.
    pub fn routes(self, gateway: &Gateway) -> Router {
        let house = House::new(self, gateway);
        house.sweep_now_and_then();
        routes::routes(house, gateway)
    }
}
