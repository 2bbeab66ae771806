//! What libpq's parameters mean.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::super::Environment;
use super::super::tls::{Roots, TlsMode, TlsSettings};

/// Everything that is known about a database and the way to it.
pub(crate) struct Parameters {
    pub(crate) places: Vec<Place>,
    /// Whether the places are tried in a random order.
    pub(crate) shuffled: bool,
    pub(crate) wanted: Wanted,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) passfile: Option<PathBuf>,
    pub(crate) database: String,
    /// The user's own options for the server's process.
    pub(crate) options: Option<String>,
    /// How long one place may take to let us in.
    pub(crate) timeout: Duration,
    pub(crate) vigilance: Vigilance,
    pub(crate) binding: Binding,
    pub(crate) tls: TlsSettings,
}

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: Host,
    /// The host's address where it is given, so that no name has to be looked up.
    pub(crate) address: Option<IpAddr>,
    pub(crate) port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Name(String),
    /// The folder of a unix socket.
    Folder(PathBuf),
    /// The folder of this machine's own server, or localhost where there is none.
    Own,
}

/// Which of several servers is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// How it is noticed that a connection is dead.
#[derive(Debug, Clone)]
pub(crate) struct Vigilance {
    pub(crate) keepalives: bool,
    pub(crate) idle: Duration,
    pub(crate) interval: Duration,
    pub(crate) count: u32,
    /// How long sent bytes may stay unacknowledged; zero: as the system does.
    pub(crate) user_timeout: Duration,
}

/// Whether the password exchange is bound to the TLS channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binding {
    Disable,
    Prefer,
    Require,
}

/// Parameters that change nothing here: Rowcast chooses them itself, or they are about what it does not do.
const WITHOUT_EFFECT: &[&str] = &[
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "sslcompression",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "sslcertmode",
    "min_protocol_version",
    "max_protocol_version",
];

/// Parameters that would make a connection safer if they were understood.
const UNSUPPORTED: &[&str] = &["require_auth", "requirepeer", "sslcrl", "sslcrldir", "sslpassword"];

impl Parameters {
    /// From the address's own parameters and what surrounds it.
    pub(super) fn new(given: Vec<(String, String)>, environment: &Environment) -> Result<Self, String> {
        let mut open: BTreeMap<String, String> = given.into_iter().collect();
        environment.complete(&mut open)?;
        let mut given = Given(open);
        let tls = given.tls(environment)?;
        let user = given.take("user").ok_or("the address names no user: write postgres://USER@host/database")?;
        let parameters = Self {
            places: given.places()?,
            shuffled: given.one_of("load_balance_hosts", &[("disable", false), ("random", true)])?.unwrap_or(false),
            wanted: given.wanted()?,
            password: given.take("password"),
            passfile: given.take("passfile").map(PathBuf::from).or_else(|| environment.at_home(".pgpass")),
            database: given.take("dbname").unwrap_or_else(|| user.clone()),
            user,
            options: given.take("options"),
            timeout: given.timeout()?,
            vigilance: given.vigilance()?,
            binding: given.binding()?,
            tls,
        };
        given.finish()?;
        Ok(parameters)
    }
}

/// The parameters that are not yet understood.
struct Given(BTreeMap<String, String>);

impl Given {
    /// As libpq does, an empty value is as good as none.
    fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    fn one_of<T: Copy>(&mut self, name: &str, known: &[(&str, T)]) -> Result<Option<T>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let found = known.iter().find(|(word, _)| *word == value);
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let found = found.ok_or_else(|| format!("`{name}` is one of {}, and not `{value}`", words.join(", ")))?;
        Ok(Some(found.1))
    }

    fn number<T: FromStr>(&mut self, name: &str) -> Result<Option<T>, String> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.trim().parse().map(Some).map_err(|_| format!("`{name}` is a whole number, and not `{value}`"))
    }

    fn places(&mut self) -> Result<Vec<Place>, String> {
        let split = |text: Option<String>| -> Vec<String> {
            text.map(|text| text.split(',').map(|part| part.trim().to_owned()).collect()).unwrap_or_default()
        };
        let (hosts, addresses) = (split(self.take("host")), split(self.take("hostaddr")));
        let ports = split(self.take("port"));
        let count = hosts.len().max(addresses.len()).max(1);
        if !hosts.is_empty() && !addresses.is_empty() && hosts.len() != addresses.len() {
            return Err(format!(
                "`host` names {} hosts, `hostaddr` {}: give one for each",
                hosts.len(),
                addresses.len()
            ));
        }
        if ports.len() > 1 && ports.len() != count {
            return Err(format!("`port` gives {} ports for {count} hosts: give one, or one for each", ports.len()));
        }
        let place = |at: usize| {
            let port = match ports.get(at).or(ports.first().filter(|_| ports.len() == 1)).map_or("", String::as_str) {
                "" => 5432,
                text => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| not_a_port(text))?,
            };
            let text = |list: &[String]| list.get(at).filter(|text| !text.is_empty()).cloned();
            let address = text(&addresses)
                .map(|text| text.parse().map_err(|_| format!("`hostaddr` is an IP address, and not `{text}`")));
            let host = match text(&hosts) {
                Some(folder) if folder.starts_with('/') => Host::Folder(folder.into()),
                Some(name) => Host::Name(name),
                None => text(&addresses).map_or(Host::Own, Host::Name),
            };
            Ok(Place { host, address: address.transpose()?, port })
        };
        (0..count).map(place).collect()
    }

    fn wanted(&mut self) -> Result<Wanted, String> {
        let known = [
            ("any", Wanted::Any),
            ("read-write", Wanted::ReadWrite),
            ("read-only", Wanted::ReadOnly),
            ("primary", Wanted::Primary),
            ("standby", Wanted::Standby),
            ("prefer-standby", Wanted::PreferStandby),
        ];
        Ok(self.one_of("target_session_attrs", &known)?.unwrap_or(Wanted::Any))
    }

    fn timeout(&mut self) -> Result<Duration, String> {
        // libpq waits for ever by default; a gateway should say that something is wrong.
        Ok(match self.number::<i64>("connect_timeout")? {
            None => Duration::from_secs(10),
            Some(seconds) if seconds <= 0 => Duration::from_secs(365 * 86_400),
            // As in libpq, which finds one second too short.
            Some(seconds) => Duration::from_secs(seconds.unsigned_abs().max(2)),
        })
    }

    /// By default silence is noticed within about 10 s, which libpq leaves to the system: two hours.
    fn vigilance(&mut self) -> Result<Vigilance, String> {
        let seconds = |number: Option<u32>, usual: u64| match number {
            None | Some(0) => Duration::from_secs(usual),
            Some(number) => Duration::from_secs(number.into()),
        };
        Ok(Vigilance {
            keepalives: self.number::<u32>("keepalives")?.is_none_or(|number| number != 0),
            idle: seconds(self.number("keepalives_idle")?, 5),
            interval: seconds(self.number("keepalives_interval")?, 2),
            count: self.number("keepalives_count")?.filter(|count| *count != 0).unwrap_or(2),
            user_timeout: Duration::from_millis(self.number("tcp_user_timeout")?.unwrap_or(10_000)),
        })
    }

    fn binding(&mut self) -> Result<Binding, String> {
        let known = [("disable", Binding::Disable), ("prefer", Binding::Prefer), ("require", Binding::Require)];
        Ok(self.one_of("channel_binding", &known)?.unwrap_or(Binding::Prefer))
    }

    fn tls(&mut self, environment: &Environment) -> Result<TlsSettings, String> {
        let at_home = |name: &str| environment.at_home(&format!(".postgresql/{name}"));
        let roots = match self.take("sslrootcert") {
            Some(system) if system == "system" => Roots::System,
            Some(path) => Roots::File(path.into()),
            None => Roots::Usual(at_home("root.crt")),
        };
        let known = [
            ("disable", TlsMode::Disable),
            ("allow", TlsMode::Allow),
            ("prefer", TlsMode::Prefer),
            ("require", TlsMode::Require),
            ("verify-ca", TlsMode::VerifyCa),
            ("verify-full", TlsMode::VerifyFull),
        ];
        let usual = if roots == Roots::System { TlsMode::VerifyFull } else { TlsMode::Prefer };
        let mode = self.one_of("sslmode", &known)?.unwrap_or(usual);
        if roots == Roots::System && mode != TlsMode::VerifyFull {
            return Err("`sslrootcert=system` trusts every certificate that is sold, which makes sense only with \
                        `sslmode=verify-full`"
                .into());
        }
        let direct = self.one_of("sslnegotiation", &[("postgres", false), ("direct", true)])?.unwrap_or(false);
        if direct && mode < TlsMode::Require {
            return Err("`sslnegotiation=direct` needs `sslmode=require` or stronger".into());
        }
        let versions = [("TLSv1", false), ("TLSv1.1", false), ("TLSv1.2", false), ("TLSv1.3", true)];
        let only_13 = self.one_of("ssl_min_protocol_version", &versions)?.unwrap_or(false);
        let also_13 = self.one_of("ssl_max_protocol_version", &versions)?.unwrap_or(true);
        if only_13 && !also_13 {
            return Err("`ssl_min_protocol_version` is above `ssl_max_protocol_version`".into());
        }
        Ok(TlsSettings {
            mode,
            roots,
            direct,
            certificate: self.take("sslcert").map(PathBuf::from),
            key: self.take("sslkey").map(PathBuf::from),
            usual_certificate: at_home("postgresql.crt"),
            usual_key: at_home("postgresql.key"),
            sni: self.number::<u32>("sslsni")?.is_none_or(|number| number != 0),
            only_13,
            also_13,
        })
    }

    /// Says of what is left that it is not understood.
    fn finish(mut self) -> Result<(), String> {
        if self.take("gssencmode").is_some_and(|mode| mode == "require") {
            return Err(
                "`gssencmode=require` cannot be had: Rowcast encrypts with TLS (`sslmode`), not with GSSAPI".into()
            );
        }
        self.0.retain(|name, value| !value.is_empty() && !WITHOUT_EFFECT.contains(&name.as_str()));
        let Some(name) = self.0.keys().next() else { return Ok(()) };
        if UNSUPPORTED.contains(&name.as_str()) {
            return Err(format!("the parameter `{name}` is libpq's, but not supported here: leave it out"));
        }
        Err(format!("`{name}` is no parameter of a PostgreSQL address; is it misspelt?"))
    }
}

fn not_a_port(text: &str) -> String {
    format!("`port` is a number from 1 to 65535, and not `{text}`")
}

#[cfg(test)]
mod tests {
    use super::super::text::parameters_of;
    use super::*;

    fn read(text: &str) -> Result<Parameters, String> {
        Parameters::new(parameters_of(text)?, &Environment::default())
    }

    fn wrong(text: &str) -> String {
        read(text).err().unwrap_or_else(|| panic!("{text} is understood"))
    }

    #[test]
    fn hosts_ports_and_folders() {
        let places = |text: &str| {
            let places = read(text).expect(text).places;
            places
                .iter()
                .map(|place| format!("{:?} {:?} {}", place.host, place.address, place.port))
                .collect::<Vec<_>>()
        };
        assert_eq!(places("postgres://u@/d"), ["Own None 5432"]);
        assert_eq!(places("postgres://u@a:1,b/d"), [r#"Name("a") None 1"#, r#"Name("b") None 5432"#]);
        assert_eq!(places("user=u host=a,/run port=7"), [r#"Name("a") None 7"#, r#"Folder("/run") None 7"#]);
        assert_eq!(places("user=u host=a hostaddr=::1"), [r#"Name("a") Some(::1) 5432"#]);
        assert_eq!(places("user=u hostaddr=10.0.0.1"), [r#"Name("10.0.0.1") Some(10.0.0.1) 5432"#]);
    }

    #[test]
    fn the_user_is_the_database_unless_it_is_named() {
        assert_eq!(read("postgres://ann@h").expect("an address").database, "ann");
        assert!(wrong("postgres://h/d").contains("USER"));
    }

    #[test]
    fn silence_is_noticed_by_default() {
        let vigilance = read("postgres://u@h").expect("an address").vigilance;
        assert!(vigilance.keepalives && vigilance.user_timeout == Duration::from_secs(10));
        assert_eq!((vigilance.idle + vigilance.interval * vigilance.count).as_secs(), 9);
        let own = read("postgres://u@h?keepalives=0&tcp_user_timeout=0").expect("an address").vigilance;
        assert!(!own.keepalives && own.user_timeout.is_zero());
    }

    #[test]
    fn a_mistake_names_its_parameter() {
        for (text, said) in [
            ("postgres://u@h?sslmod=require", "`sslmod`"),
            ("postgres://u@h?sslmode=on", "verify-full"),
            ("postgres://u@h?connect_timeout=soon", "`connect_timeout`"),
            ("user=u host=a,b hostaddr=::1", "`hostaddr`"),
            ("user=u host=a,b,c port=1,2", "`port`"),
            ("user=u host=a port=0", "`port`"),
            ("user=u hostaddr=localhost", "`hostaddr`"),
            ("user=u sslrootcert=system sslmode=require", "verify-full"),
            ("user=u sslnegotiation=direct", "sslmode=require"),
            ("user=u target_session_attrs=master", "read-write"),
            ("user=u require_auth=scram-sha-256", "not supported"),
            ("user=u gssencmode=require", "GSSAPI"),
        ] {
            let error = wrong(text);
            assert!(error.contains(said), "{text}: {error}");
        }
        read("postgres://u@h?application_name=x&gssencmode=prefer&client_encoding=utf8&options=").expect("understood");
    }
}
