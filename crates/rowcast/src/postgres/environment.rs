//! What the surroundings of the process say about reaching a server: libpq's variables, files and services.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The environment as libpq knows it. The library reads none by itself: whoever embeds it fills this in, or leaves it empty.
#[derive(Clone, Default)]
pub struct Environment {
    /// Environment variables, of which `PGHOST`, `PGPASSWORD` and the others of libpq are used.
    pub variables: BTreeMap<String, String>,
    /// The user's folder, where `.pgpass`, `.pg_service.conf` and `.postgresql/` are looked for.
    pub home: Option<PathBuf>,
}

/// Parameters that a variable can give.
const VARIABLES: &[(&str, &str)] = &[
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("options", "PGOPTIONS"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("require_auth", "PGREQUIREAUTH"),
    ("gssencmode", "PGGSSENCMODE"),
    ("sslmode", "PGSSLMODE"),
    ("sslnegotiation", "PGSSLNEGOTIATION"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("sslcrl", "PGSSLCRL"),
    ("sslcrldir", "PGSSLCRLDIR"),
    ("sslsni", "PGSSLSNI"),
    ("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    ("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
];

impl Environment {
    /// Adds to `given` what it leaves open: first from the service that it names, then from variables.
    pub(super) fn complete(&self, given: &mut BTreeMap<String, String>) -> Result<(), String> {
        if let Some(name) = given.remove("service").or_else(|| self.variable("PGSERVICE")) {
            for (key, value) in self.service(&name)? {
                given.entry(key).or_insert(value);
            }
        }
        for (key, variable) in VARIABLES {
            if let (false, Some(value)) = (given.contains_key(*key), self.variable(variable)) {
                given.insert((*key).into(), value);
            }
        }
        if let (false, Some(user)) = (given.contains_key("user"), self.variable("USER").or(self.variable("LOGNAME"))) {
            given.insert("user".into(), user);
        }
        Ok(())
    }

    /// A file of the user's folder, whether it is there or not.
    pub(super) fn at_home(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }

    /// As libpq does, an empty variable is as good as none.
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// The parameters of a service: from the user's file, else from the system's.
    fn service(&self, name: &str) -> Result<Vec<(String, String)>, String> {
        let own = self.variable("PGSERVICEFILE").map(PathBuf::from).or_else(|| self.at_home(".pg_service.conf"));
        let system = self.variable("PGSYSCONFDIR").map(|folder| Path::new(&folder).join("pg_service.conf"));
        for path in [&own, &system].into_iter().flatten() {
            let Ok(text) = std::fs::read_to_string(path) else { continue };
            if let Some(found) = section(&text, name) {
                return found
                    .map_err(|line| format!("line {line} of {} is not of the form `parameter=value`", path.display()));
            }
        }
        let path = own.or(system).map_or_else(|| "PGSERVICEFILE".into(), |path| path.display().to_string());
        Err(format!("there is no service `{name}`: add a section [{name}] to {path}"))
    }
}

/// The lines of `[name]`; `None` if there is no such section; the number of the line that is wrong.
fn section(text: &str, name: &str) -> Option<Result<Vec<(String, String)>, usize>> {
    let mut found: Option<Vec<(String, String)>> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if title.strip_suffix(']') == Some(name) {
                found = Some(Vec::new());
            }
        } else if let Some(found) = &mut found {
            let Some((key, value)) = line.split_once('=') else { return Some(Err(number + 1)) };
            found.push((key.trim().into(), value.trim().into()));
        }
    }
    found.map(Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Environment { variables, home: None }
    }

    #[test]
    fn variables_fill_what_is_open() {
        let mut given = BTreeMap::from([("host".to_owned(), "own".to_owned())]);
        let environment = environment(&[("PGHOST", "other"), ("PGPORT", "5"), ("PGUSER", ""), ("USER", "me")]);
        environment.complete(&mut given).expect("complete");
        assert_eq!(format!("{given:?}"), r#"{"host": "own", "port": "5", "user": "me"}"#);
    }

    #[test]
    fn a_service_wins_over_variables_and_not_over_the_address() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("services");
        std::fs::write(&path, "# mine\n[other]\nhost=x\n[shop]\nhost=db\nport = 6\n\n[last]\nbroken\n")
            .expect("written");
        let environment = environment(&[("PGSERVICEFILE", &path.to_string_lossy()), ("PGPORT", "5")]);
        let mut given =
            BTreeMap::from([("service", "shop"), ("host", "own")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        environment.complete(&mut given).expect("complete");
        assert_eq!(format!("{given:?}"), r#"{"host": "own", "port": "6"}"#);
        for (name, said) in [("none", "[none]"), ("last", "line 9")] {
            let mut given = BTreeMap::from([("service".to_owned(), name.to_owned())]);
            let error = environment.complete(&mut given).expect_err("no such service");
            assert!(error.contains(said), "{error}");
        }
    }
}
