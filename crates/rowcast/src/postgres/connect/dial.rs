//! Which servers are tried, in which order, and what is said when none of them will do.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::seq::SliceRandom;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::address::{Host, Parameters, Place, Wanted};
use super::super::tls::{self, TlsMode};
use super::error::{ConnectError, unreachable};
use super::stream::{Stream, watch};

/// Tries one server after the other.
pub(crate) struct Dial<'a> {
    parameters: &'a Parameters,
    places: VecDeque<Place>,
    /// The ways to the place that is tried now.
    ways: VecDeque<Way>,
    /// The way that was gone last.
    last: Option<Way>,
    wanted: Wanted,
    failed: Vec<ConnectError>,
}

/// A server that answers, before it is told who we are.
pub(crate) struct Line {
    pub(crate) stream: Stream,
    pub(crate) place: Place,
    /// When it must have let us in.
    pub(crate) deadline: Instant,
    /// What it must be.
    pub(crate) wanted: Wanted,
}

/// Why a server did not let us in.
pub(crate) struct Refusal {
    pub(crate) error: ConnectError,
    /// The server's SQLSTATE, if it was the server that refused.
    pub(crate) code: Option<String>,
}

#[derive(Clone)]
struct Way {
    place: Place,
    to: To,
    encrypted: bool,
    /// Whether the opposite of `encrypted` may be tried, too.
    other: bool,
}

#[derive(Clone)]
enum To {
    Tcp(SocketAddr),
    Folder(PathBuf),
}

enum Failure {
    /// The server answers, but the encryption failed.
    Tls(ConnectError),
    Other(ConnectError),
}

impl<'a> Dial<'a> {
    pub(crate) fn new(parameters: &'a Parameters) -> Self {
        let wanted = match parameters.wanted {
            Wanted::PreferStandby => Wanted::Standby,
            wanted => wanted,
        };
        let (ways, failed) = (VecDeque::new(), Vec::new());
        Self { parameters, places: in_order(parameters), ways, last: None, wanted, failed }
    }

    /// The next server that answers; an error when there is none left.
    pub(crate) async fn next(&mut self) -> Result<Line, ConnectError> {
        loop {
            let Some(way) = self.ways.pop_front() else {
                self.next_place().await?;
                continue;
            };
            self.last = Some(way.clone());
            let deadline = Instant::now() + self.parameters.timeout;
            match timeout_at(deadline, open(&way, self.parameters)).await {
                Ok(Ok(stream)) => return Ok(Line { stream, place: way.place, deadline, wanted: self.wanted }),
                Ok(Err(Failure::Tls(error))) => {
                    self.failed.push(error);
                    self.other_way();
                }
                Ok(Err(Failure::Other(error))) => self.failed.push(error),
                Err(_) => self.failed.push(ConnectError::late(&way.place, self.parameters.timeout)),
            }
        }
    }

    /// The server of the last line did not let us in.
    pub(crate) fn refused(&mut self, refusal: Refusal) {
        let Refusal { error, code } = refusal;
        if code.as_deref() == Some("28000") && self.other_way() {
            self.failed.push(error);
        } else if code.is_some() && !error.retry {
            // It would be the same everywhere: a wrong password, a missing database.
            self.places.clear();
            self.ways.clear();
            self.wanted = self.parameters.wanted;
            self.failed = vec![error];
        } else {
            self.failed.push(error);
        }
    }

    /// Goes the last way once more.
    pub(crate) fn again(&mut self) {
        self.ways.extend(self.last.clone());
        self.ways.rotate_right(usize::from(!self.ways.is_empty()));
    }

    /// Goes the last way once more, but encrypted if it was not, and not if it was.
    fn other_way(&mut self) -> bool {
        let Some(way) = self.last.take().filter(|way| way.other) else { return false };
        self.ways.push_front(Way { encrypted: !way.encrypted, other: false, ..way });
        true
    }

    async fn next_place(&mut self) -> Result<(), ConnectError> {
        if let Some(place) = self.places.pop_front() {
            match found(&place, self.parameters).await {
                Ok(ways) => self.ways = ways,
                Err(error) => self.failed.push(error),
            }
            return Ok(());
        }
        if self.parameters.wanted == Wanted::PreferStandby && self.wanted == Wanted::Standby {
            self.wanted = Wanted::Any;
            self.places = in_order(self.parameters);
            self.failed.clear();
            return Ok(());
        }
        Err(ConnectError::all(std::mem::take(&mut self.failed)))
    }
}

impl Refusal {
    /// Whether a pooler refused the options that were sent.
    pub(crate) fn of_options(&self) -> bool {
        self.code.is_some() && self.error.message.contains("unsupported startup parameter")
    }

    pub(crate) fn late(place: &Place, parameters: &Parameters) -> Self {
        Self { error: ConnectError::late(place, parameters.timeout), code: None }
    }
}

fn in_order(parameters: &Parameters) -> VecDeque<Place> {
    let mut places = parameters.places.clone();
    if parameters.shuffled {
        places.shuffle(&mut rand::rng());
    }
    places.into()
}

/// The ways to a place: one for each address of its name.
async fn found(place: &Place, parameters: &Parameters) -> Result<VecDeque<Way>, ConnectError> {
    let mode = parameters.tls.mode;
    let way = |to: To| {
        let tcp = matches!(to, To::Tcp(_));
        // As in libpq, a unix socket is never encrypted.
        let encrypted = tcp && mode >= TlsMode::Prefer;
        Way { place: place.clone(), to, encrypted, other: tcp && matches!(mode, TlsMode::Allow | TlsMode::Prefer) }
    };
    if let Some(address) = place.address {
        return Ok([way(To::Tcp(SocketAddr::new(address, place.port)))].into());
    }
    let name = match &place.host {
        Host::Folder(folder) => return Ok([way(To::Folder(folder.clone()))].into()),
        Host::Own => match own_folder(place.port) {
            Some(folder) => return Ok([way(To::Folder(folder))].into()),
            None => "localhost",
        },
        Host::Name(name) => name,
    };
    let unknown = |cause: std::io::Error| ConnectError {
        message: format!(
            "the host name `{name}` is not known here: is it misspelt, or does its name server not answer?"
        ),
        retry: true,
        cause: Some(cause.into()),
    };
    let addresses = timeout(parameters.timeout, tokio::net::lookup_host((name, place.port))).await;
    let late = |_| ConnectError::late(place, parameters.timeout);
    let mut ways: Vec<Way> = addresses.map_err(late)?.map_err(unknown)?.map(|address| way(To::Tcp(address))).collect();
    if parameters.shuffled {
        ways.shuffle(&mut rand::rng());
    }
    Ok(ways.into())
}

/// Where a server of this machine usually listens.
fn own_folder(port: u16) -> Option<PathBuf> {
    let folders = ["/var/run/postgresql", "/tmp"];
    folders.into_iter().map(PathBuf::from).find(|folder| socket_of(folder, port).exists())
}

fn socket_of(folder: &Path, port: u16) -> PathBuf {
    folder.join(format!(".s.PGSQL.{port}"))
}

async fn open(way: &Way, parameters: &Parameters) -> Result<Stream, Failure> {
    let failed = |error| Failure::Other(unreachable(&way.place, error));
    match &way.to {
        #[cfg(unix)]
        To::Folder(folder) => {
            let path = socket_of(folder, way.place.port);
            let stream = UnixStream::connect(&path).await;
            Ok(Stream::Unix(stream.map_err(|error| Failure::Other(super::error::no_socket(&path, error)))?))
        }
        #[cfg(not(unix))]
        To::Folder(_) => Err(failed(std::io::ErrorKind::Unsupported.into())),
        To::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            watch(&stream, &parameters.vigilance).map_err(failed)?;
            match way.encrypted {
                true => tls::encrypt(stream, &way.place, &parameters.tls).await.map_err(Failure::Tls),
                false => Ok(Stream::Tcp(stream)),
            }
        }
    }
}

/// For messages: `10 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs())
}
