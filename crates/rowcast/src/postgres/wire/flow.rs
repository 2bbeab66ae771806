//! The task that owns a replication connection while it streams.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::super::connect::Stream;
use super::super::{Address, Lsn};
use super::frame::{Frame, goodbye, status};
use super::pipe::Pipe;
use super::probe::is_at_work;
use super::{Flow, WireError};

/// Frames that were read together, and their share of the stream's memory.
pub(super) struct Bundle {
    pub(super) frames: VecDeque<Frame>,
    _share: OwnedSemaphorePermit,
}

/// What the consumer tells the task.
#[derive(Default)]
pub(super) struct Told {
    /// Everything up to here is safe.
    pub(super) confirmed: AtomicU64,
    /// The server is to be asked at once how far it is.
    pub(super) asked: Notify,
}

/// The task's state.
pub(super) struct Streaming {
    stream: Stream,
    unread: BytesMut,
    told: Arc<Told>,
    flow: Flow,
    sender: mpsc::Sender<Result<Bundle, WireError>>,
    memory: Arc<Semaphore>,
    /// When the server was last heard, or we last began to listen.
    heard: Instant,
    /// Who to ask whether the server is at work when it says nothing, and the question under way.
    process: (Address, i32),
    probe: Option<JoinHandle<bool>>,
}

/// Bundles that may wait; when there are more, or their bytes fill the memory, nothing is read and the server waits.
const BUNDLES_MAX: usize = 1024;

/// Room for what one read may bring.
const READ: usize = 64 << 10;

impl Streaming {
    /// Starts the task; what it reads comes out of the receiver, and an error last.
    pub(super) fn start(
        pipe: Pipe,
        process: (Address, i32),
        told: Arc<Told>,
        flow: Flow,
    ) -> (mpsc::Receiver<Result<Bundle, WireError>>, JoinHandle<()>) {
        // Never full: each bundle holds a share of the memory, of which there are fewer.
        let (sender, receiver) = mpsc::channel(BUNDLES_MAX + 2);
        let Pipe { stream, unread } = pipe;
        let memory = Arc::new(Semaphore::new(flow.memory.clamp(1, Semaphore::MAX_PERMITS)));
        let heard = Instant::now();
        let task = Self { stream, unread, told, flow, sender, memory, heard, process, probe: None };
        (receiver, tokio::spawn(task.run()))
    }

    async fn run(mut self) {
        if let Err(error) = self.carry().await {
            // Nobody may be listening any more.
            let _ = self.sender.try_send(Err(error));
        }
    }

    /// Carries frames until the connection fails (`Err`) or nobody wants them (`Ok`).
    async fn carry(&mut self) -> Result<(), WireError> {
        let mut tick = self.rhythm();
        let told = self.told.clone();
        let sender = self.sender.clone();
        loop {
            let (frames, weight) = self.frames().await?;
            if !frames.is_empty() {
                let share = self.share(weight, &mut tick).await?;
                let Some(share) = share else { return self.leave().await };
                if sender.try_send(Ok(Bundle { frames, _share: share })).is_err() {
                    return self.leave().await;
                }
            }
            if self.unread.capacity() - self.unread.len() < READ / 4 {
                self.unread.reserve(READ);
            }
            tokio::select! {
                read = self.stream.read_buf(&mut self.unread) => {
                    if read.map_err(WireError::io)? == 0 {
                        return Err(WireError::io(std::io::ErrorKind::UnexpectedEof.into()));
                    }
                    self.heard = Instant::now();
                }
                _ = tick.tick() => self.tick().await?,
                () = told.asked.notified() => self.report(true).await?,
                () = sender.closed() => return self.leave().await,
            }
        }
    }

    fn rhythm(&self) -> Interval {
        // Often enough to ask, to look and to wait for answers before the server is called dead.
        let every = self.flow.status_every.min(self.flow.dead_after / 8);
        let mut tick = interval(every.max(Duration::from_millis(10)));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick
    }

    /// Says how far we are, and asks for an answer when nothing was heard for a while.
    async fn tick(&mut self) -> Result<(), WireError> {
        let silent = self.heard.elapsed();
        if silent < self.flow.dead_after / 2 {
            self.probe = None;
            return self.report(silent >= self.flow.dead_after / 4).await;
        }
        match self.probe.take() {
            Some(probe) if probe.is_finished() => {
                if probe.await.unwrap_or_default() {
                    self.heard = Instant::now();
                }
            }
            Some(probe) => self.probe = Some(probe),
            None => {
                let (address, process) = self.process.clone();
                self.probe = Some(tokio::spawn(is_at_work(address, process)));
            }
        }
        if self.heard.elapsed() < self.flow.dead_after {
            return self.report(true).await;
        }
        let seconds = silent.as_secs_f32();
        Err(WireError::broken(format!(
            "the database has said nothing for {seconds:.1} s, though it was asked to: the connection is dead, and a firewall or \
             the network did not tell"
        )))
    }

    /// A share of the memory for frames of this weight; meanwhile the server is told that we are alive. `None`: nobody wants
    /// the frames any more.
    async fn share(&mut self, weight: usize, tick: &mut Interval) -> Result<Option<OwnedSemaphorePermit>, WireError> {
        let least = (self.flow.memory / BUNDLES_MAX).max(1);
        let weight = u32::try_from(weight.max(least).min(self.flow.memory.max(1))).unwrap_or(u32::MAX);
        let memory = self.memory.clone();
        let free = memory.acquire_many_owned(weight);
        tokio::pin!(free);
        let (told, sender) = (self.told.clone(), self.sender.clone());
        loop {
            tokio::select! {
                biased;
                share = &mut free => {
                    // Who does not listen cannot hear: the silence begins now.
                    self.heard = Instant::now();
                    return Ok(share.ok());
                }
                _ = tick.tick() => self.report(false).await?,
                () = told.asked.notified() => self.report(true).await?,
                () = sender.closed() => return Ok(None),
            }
        }
    }

    /// The frames that were read completely, and their weight.
    async fn frames(&mut self) -> Result<(VecDeque<Frame>, usize), WireError> {
        let (mut frames, mut weight, mut reply) = (VecDeque::new(), 0, false);
        while let Some(length) = self.complete()? {
            match self.unread[0] {
                b'd' => {
                    let mut message = self.unread.split_to(length).freeze();
                    message.advance(5);
                    let frame = Frame::read(message)?;
                    reply |= matches!(frame, Frame::KeepAlive { reply: true, .. });
                    weight += frame.weight();
                    frames.push_back(frame);
                }
                b'E' => {
                    // What came before it counts, too.
                    self.deliver(frames, weight);
                    return Err(WireError::said_in(&mut self.unread));
                }
                b'c' => {
                    self.deliver(frames, weight);
                    return Err(WireError::broken("the database ended the stream: it is being shut down"));
                }
                // Notices, and parameters that changed.
                _ => self.unread.advance(length),
            }
        }
        if reply {
            self.report(false).await?;
        }
        Ok((frames, weight))
    }

    /// The length of the first message that was read, if it was read completely.
    fn complete(&mut self) -> Result<Option<usize>, WireError> {
        use postgres_protocol::message::backend::Header;
        let Some(header) = Header::parse(&self.unread).map_err(WireError::io)? else { return Ok(None) };
        let length = 1 + usize::try_from(header.len()).unwrap_or_default();
        if self.unread.len() >= length {
            return Ok(Some(length));
        }
        self.unread.reserve(length - self.unread.len());
        Ok(None)
    }

    /// Hands over the last frames before an error, even if the memory is full: nothing follows them.
    fn deliver(&self, frames: VecDeque<Frame>, weight: usize) {
        let free = u32::try_from(weight.min(self.memory.available_permits())).unwrap_or(u32::MAX);
        if let (false, Ok(share)) = (frames.is_empty(), self.memory.clone().try_acquire_many_owned(free)) {
            // Nobody may be listening any more.
            let _ = self.sender.try_send(Ok(Bundle { frames, _share: share }));
        }
    }

    /// Tells the server how far we are.
    async fn report(&mut self, ask: bool) -> Result<(), WireError> {
        let mut bytes = BytesMut::with_capacity(64);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        status(Lsn(self.told.confirmed.load(Ordering::Acquire)), now_ms, ask, &mut bytes);
        self.send(&bytes).await
    }

    /// Says how far we are a last time, and ends the session, so that the slot is free at once.
    async fn leave(&mut self) -> Result<(), WireError> {
        self.report(false).await?;
        let mut bytes = BytesMut::new();
        goodbye(&mut bytes);
        self.send(&bytes).await?;
        // The server closes the connection after it has let go of the slot.
        let drained = async {
            loop {
                self.unread.clear();
                if !matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {
                    break;
                }
            }
        };
        // It is only waited for so that whoever closes knows that the slot is free.
        let _ = timeout(self.flow.dead_after, drained).await;
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        let sent = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        let late = |_| WireError::io(std::io::ErrorKind::TimedOut.into());
        timeout(self.flow.dead_after, sent).await.map_err(late)?.map_err(WireError::io)
    }
}
