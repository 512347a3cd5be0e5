//! A connection to one QEMU.
//!
//! One task reads: replies go to whoever asked, events into a bounded queue.
//! A caller that stops waiting leaves nothing behind.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::codec::{self, LONGEST_LINE, Malformed, Message, Refusal};
use super::commands::{Command, QmpCapabilities};
pub use super::event::Event;

/// How long a command may take. None of ours waits for storage or the guest.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// Events that may wait to be handled; later ones are dropped, and the run
/// state asked for anew tells what they would have.
const EVENTS: usize = 256;

/// Why a conversation with QEMU failed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// There is no connection, or no longer.
    #[error("{action} over QMP: the connection is closed")]
    Disconnected {
        /// What was tried.
        action: &'static str,
        /// Why, where the kernel said.
        source: Option<io::Error>,
    },
    /// QEMU did not answer in time.
    #[error("{action} over QMP: no answer within {} s", patience.as_secs())]
    TimedOut {
        /// What was tried.
        action: &'static str,
        /// How long QEMU was given.
        patience: Duration,
    },
    /// QEMU declined.
    #[error("{command} over QMP was declined")]
    Refused {
        /// The command.
        command: &'static str,
        /// What QEMU said.
        source: Refusal,
    },
    /// QEMU said something else than the protocol foresees.
    #[error("{action} over QMP: the answer is not what the protocol says")]
    Malformed {
        /// What was tried.
        action: &'static str,
        /// What is wrong.
        source: Malformed,
    },
}

impl QmpError {
    /// The word for conditions, events and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Disconnected { .. } => "QmpDisconnected",
            Self::TimedOut { .. } => "QmpTimedOut",
            Self::Refused { .. } => "QmpRefused",
            Self::Malformed { .. } => "QmpMalformed",
        }
    }
}

type Waiting = HashMap<u64, oneshot::Sender<Result<Value, Refusal>>>;

/// What the reading task and the callers share.
#[derive(Debug, Default)]
struct Pending {
    /// None once the connection has ended: nobody may begin to wait then.
    waiting: Mutex<Option<Waiting>>,
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection; cheap to clone. It closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: tokio::sync::Mutex<OwnedWriteHalf>,
    pending: Arc<Pending>,
    next_id: AtomicU64,
    _reader: AbortOnDropHandle<()>,
}

impl Client {
    /// Connects to the socket at `path`, which may not be there yet, and agrees
    /// on capabilities. The queue of events ends when the connection does.
    ///
    /// # Errors
    /// When that is not done after `patience`. A QEMU that has another
    /// connection is silent until that one is closed.
    pub async fn connect(
        path: &Path,
        patience: Duration,
    ) -> Result<(Self, mpsc::Receiver<Event>), QmpError> {
        const ACTION: &str = "connect";
        let deadline = Instant::now() + patience;
        let stream = open(path, deadline).await?;
        let (reader, writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let greeting = timeout_at(deadline, read_message(&mut reader))
            .await
            .map_err(|_| QmpError::TimedOut { action: ACTION, patience })?
            .map_err(|end| end.into_error(ACTION))?;
        if greeting != Message::Greeting {
            return Err(QmpError::Malformed { action: ACTION, source: Malformed::Kind });
        }
        let (events, receiver) = mpsc::channel(EVENTS);
        let pending = Arc::new(Pending { waiting: Mutex::new(Some(HashMap::new())) });
        let task = tokio::spawn(read_all(reader, Arc::clone(&pending), events));
        let client = Self {
            shared: Arc::new(Shared {
                writer: tokio::sync::Mutex::new(writer),
                pending,
                next_id: AtomicU64::new(1),
                _reader: AbortOnDropHandle::new(task),
            }),
        };
        let left = deadline.saturating_duration_since(Instant::now());
        client.execute_within(QmpCapabilities {}, left).await?;
        Ok((client, receiver))
    }

    /// Carries out a command, with [`PATIENCE`].
    ///
    /// # Errors
    /// When there is no answer, or it is a refusal.
    pub async fn execute<C: Command>(&self, command: C) -> Result<C::Reply, QmpError> {
        self.execute_within(command, PATIENCE).await
    }

    /// Carries out a command. One that timed out may still be carried out.
    ///
    /// # Errors
    /// When there is no answer within `patience`, or it is a refusal.
    pub async fn execute_within<C: Command>(
        &self,
        command: C,
        patience: Duration,
    ) -> Result<C::Reply, QmpError> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        let malformed = |source| QmpError::Malformed { action: C::NAME, source };
        let line = codec::encode(id, C::NAME, &command).map_err(malformed)?;
        let (sender, receiver) = oneshot::channel();
        let Some(()) = self.shared.pending.lock().as_mut().map(|waiting| {
            waiting.insert(id, sender);
        }) else {
            return Err(QmpError::Disconnected { action: C::NAME, source: None });
        };
        // Also when the caller stops waiting.
        let _forget = Forget { pending: &self.shared.pending, id };
        let answer = timeout(patience, async {
            let closed = |source| QmpError::Disconnected { action: C::NAME, source };
            let mut writer = self.shared.writer.lock().await;
            let half = HalfWritten { pending: &self.shared.pending };
            writer.write_all(&line).await.map_err(|error| closed(Some(error)))?;
            std::mem::forget(half);
            drop(writer);
            receiver.await.map_err(|_| closed(None))
        })
        .await
        .map_err(|_| QmpError::TimedOut { action: C::NAME, patience })??;
        let value = answer.map_err(|source| QmpError::Refused { command: C::NAME, source })?;
        serde_json::from_value(value).map_err(|error| malformed(error.into()))
    }
}

struct Forget<'a> {
    pending: &'a Pending,
    id: u64,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.pending.lock().as_mut() {
            waiting.remove(&self.id);
        }
    }
}

/// A caller that stops waiting in the middle of a line has spoilt the
/// connection for all that follow.
struct HalfWritten<'a> {
    pending: &'a Pending,
}

impl Drop for HalfWritten<'_> {
    fn drop(&mut self) {
        self.pending.lock().take();
    }
}

/// QEMU makes its socket some time after it was started.
async fn open(path: &Path, deadline: Instant) -> Result<UnixStream, QmpError> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(stream),
            Err(error) if Instant::now() >= deadline => {
                return Err(QmpError::Disconnected { action: "connect", source: Some(error) });
            }
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}

/// Why nothing more can be read.
enum End {
    Closed(Option<io::Error>),
    Malformed(Malformed),
}

impl End {
    fn into_error(self, action: &'static str) -> QmpError {
        match self {
            Self::Closed(source) => QmpError::Disconnected { action, source },
            Self::Malformed(source) => QmpError::Malformed { action, source },
        }
    }
}

async fn read_message(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Message, End> {
    let mut line = Vec::new();
    let mut bounded = tokio::io::AsyncReadExt::take(reader, LONGEST_LINE as u64);
    match bounded.read_until(b'\n', &mut line).await {
        Ok(0) => Err(End::Closed(None)),
        Ok(_) => codec::decode(&line).map_err(End::Malformed),
        Err(error) => Err(End::Closed(Some(error))),
    }
}

async fn read_all(
    mut reader: BufReader<OwnedReadHalf>,
    pending: Arc<Pending>,
    events: mpsc::Sender<Event>,
) {
    let end = loop {
        match read_message(&mut reader).await {
            Ok(Message::Reply { id, outcome }) => {
                let caller = pending.lock().as_mut().and_then(|waiting| waiting.remove(&id));
                if let Some(caller) = caller {
                    // It may have stopped waiting just now.
                    let _ = caller.send(outcome);
                }
            }
            Ok(Message::Event(event)) => {
                if let Err(mpsc::error::TrySendError::Full(event)) = events.try_send(event) {
                    tracing::warn!(?event, "dropped an event of QEMU: too many wait");
                }
            }
            Ok(Message::Greeting) => {}
            Err(end) => break end,
        }
    };
    if let End::Malformed(error) = &end {
        tracing::error!(%error, "closed a QMP connection that made no sense");
    }
    // Whoever waits is told that nothing comes any more.
    pending.lock().take();
}

#[cfg(test)]
mod tests;
