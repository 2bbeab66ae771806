//! What all routes of a chat share.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rowcast::auth::{Passwords, Tries, hash_password};
use rowcast::event::Value;
use rowcast::gateway::{Gateway, Refusal, Sessions};
use rowcast::store::Store;
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::files::Files;
use crate::mail::Mail;
use crate::recent::Recent;
use crate::rooms::talks::Talks;
use crate::settings::Settings;
use crate::{Chat, clock, person, seen, steps};

/// So many mails has an address that they are sent to, before there are waits.
const MAILS_TO_ONE: u32 = 5;

/// So many has a network that they are asked for from: all of an office may sign up in one morning.
const MAILS_FROM_ONE: u32 = 50;

/// So many addresses somebody may ask for to be added, before there are waits.
const ASKED_BY_ONE: u32 = 20;

/// So many may be asked for from a network.
const ASKED_FROM_ONE: u32 = 100;

/// What all routes of a chat share.
pub(crate) struct House {
    pub(crate) settings: Settings,
    /// All tables, whatever rules say: what may be done is for each route to ask.
    pub(crate) store: Arc<dyn Store>,
    /// Makes people known to the gateway.
    pub(crate) sessions: Sessions,
    pub(crate) mail: Mail,
    pub(crate) passwords: Passwords,
    /// Attempts at passwords and codes, each with what it is before the address.
    pub(crate) tries: Tries,
    /// Mails that somebody has asked for, in the same way.
    pub(crate) mails: Tries,
    /// Addresses that somebody has asked for: whether they have an account is in the answer.
    pub(crate) asked: Tries,
    /// Of a password that nobody has.
    pub(crate) nobodys_hash: String,
    /// When users were last noted to be there.
    pub(crate) seen: Recent,
    /// Users that have accounts.
    pub(crate) known: Recent,
    pub(crate) talks: Talks,
    pub(crate) files: Files,
    /// Whether the tables are known to be this chat's.
    stepped: OnceCell<()>,
}

/// As every route has it.
pub(crate) type Shared = Arc<House>;

impl House {
    pub(crate) fn new(chat: Chat, gateway: &Gateway) -> Shared {
        let Chat { settings, mail, place } = chat;
        let (store, sessions) = (gateway.store(), gateway.sessions());
        let nobodys_hash = hash_password(&Uuid::new_v4().to_string()).expect("a UUID can be a password");
        Arc::new(Self {
            settings,
            store,
            sessions,
            mail,
            passwords: Passwords::default(),
            tries: Tries::default(),
            mails: Tries::with(MAILS_TO_ONE, MAILS_FROM_ONE),
            asked: Tries::with(ASKED_BY_ONE, ASKED_FROM_ONE),
            nobodys_hash,
            seen: Recent::within(seen::PAUSE),
            known: Recent::within(person::KNOWN),
            talks: Talks::default(),
            files: Files::new(place),
            stepped: OnceCell::new(),
        })
    }

    /// Waits until the tables are known to be this chat's.
    pub(crate) async fn stepped(&self) -> Result<(), Refusal> {
        self.stepped.get_or_try_init(|| steps::take(self)).await.map(drop)
    }

    /// This moment, for a `timestamp` column.
    pub(crate) fn now(&self) -> Value {
        clock::moment(SystemTime::now(), self.store.dialect())
    }
}

/// Lets nobody in before the tables are known to be this chat's: the database may be away when the gateway starts.
pub(crate) async fn ready(State(house): State<Shared>, request: Request, next: Next) -> Response {
    match house.stepped().await {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}
