//! How a PostgreSQL server is reached: everything that libpq's URLs, `key=value` texts, variables and files can say.
//!
//! Leaves connecting to `connect`.

mod parameters;
pub(super) mod passfile;
mod text;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub(super) use parameters::{Binding, Host, Parameters, Place, Vigilance, Wanted};

use super::{ConnectError, Environment};

/// Where a database is, and as whom it is used. Its `Debug` and `Display` show no password.
#[derive(Clone)]
pub struct Address {
    pub(super) parameters: Arc<Parameters>,
}

impl Address {
    /// Reads a URL or a `key=value` text, and takes from `environment` what it leaves open.
    ///
    /// Takes what libpq takes, as described in `docs/postgres.md`. An error shows no password.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self, ConnectError> {
        let parameters = text::parameters_of(text).and_then(|given| Parameters::new(given, environment));
        Ok(Self { parameters: Arc::new(parameters.map_err(ConnectError::wrong)?) })
    }

    /// The database's name.
    pub fn database(&self) -> &str {
        &self.parameters.database
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        &self.parameters.user
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        Self::parse(text, &Environment::default())
    }
}

/// As a URL without a password: `postgres://ann@db:5432/shop`.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parameters { user, places, database, .. } = &*self.parameters;
        let places: Vec<String> = places.iter().map(Place::to_string).collect();
        write!(f, "postgres://{user}@{}/{database}", places.join(","))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
            Host::Folder(folder) => write!(f, "{}:{}", folder.display(), self.port),
            Host::Own => write!(f, "localhost:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_shown_without_its_password() {
        let address: Address = "postgres://ann:secret@a,[::1]:7/shop?sslmode=disable".parse().expect("an address");
        assert_eq!(address.to_string(), "postgres://ann@a:5432,[::1]:7/shop");
        assert_eq!(format!("{address:?}"), "Address(postgres://ann@a:5432,[::1]:7/shop)");
    }
}
