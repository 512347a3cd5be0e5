//! The hold on one running QEMU: its process and its QMP connection, followed
//! by two small tasks that tell the server's queue what changed.

use std::sync::Arc;
use std::time::Duration;

use suigen_crds::ident::Uid;
use tokio::sync::mpsc::{Receiver, UnboundedSender};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::event::Event;
use super::node::Node;
use super::situation::Guest;
use crate::hypervisor::qemu::logs;
use crate::hypervisor::qemu::process::Process;
use crate::hypervisor::qmp::client::{Client, Event as QmpEvent, QmpError};
use crate::hypervisor::qmp::commands::{QueryStatus, QueryUuid, RunState};
use crate::report::runtime::explain;

/// How often a quiet QEMU is asked how it is.
const ASK: Duration = Duration::from_secs(15);
/// How long QEMU may take to answer the first time, and after a broken connection.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long until a broken connection is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// One run that is followed. Dropping it lets go of the process, which goes on.
#[derive(Debug)]
pub struct Handle {
    incarnation: i64,
    process: Arc<Process>,
    client: watch::Receiver<Option<Client>>,
    followers: [AbortHandle; 2],
}

impl Handle {
    /// Follows a process until it ends or the handle is dropped.
    #[must_use]
    pub fn follow(
        node: Arc<Node>,
        server: Uid,
        incarnation: i64,
        process: Process,
        queue: UnboundedSender<Event>,
    ) -> Self {
        let process = Arc::new(process);
        let (slot, client) = watch::channel(None);
        let conversation =
            Conversation { node, server, incarnation, queue: queue.clone(), slot, last: None };
        let watched = process.clone();
        let exit = tokio::spawn(async move {
            let exit = watched.exited().await.to_string();
            let _ = queue.send(Event::Exited { incarnation, exit });
        });
        let talk = tokio::spawn(conversation.run());
        let followers = [exit.abort_handle(), talk.abort_handle()];
        Self { incarnation, process, client, followers }
    }

    /// Which start of the server this is.
    #[must_use]
    pub const fn incarnation(&self) -> i64 {
        self.incarnation
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> Arc<Process> {
        self.process.clone()
    }

    /// The QMP connection, while there is one.
    #[must_use]
    pub fn client(&self) -> Option<Client> {
        self.client.borrow().clone()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        for follower in &self.followers {
            follower.abort();
        }
    }
}

struct Conversation {
    node: Arc<Node>,
    server: Uid,
    incarnation: i64,
    queue: UnboundedSender<Event>,
    slot: watch::Sender<Option<Client>>,
    /// What was told last.
    last: Option<(Guest, String)>,
}

impl Conversation {
    /// Connects again and again; a QEMU that does not answer is told as silent
    /// and left alone.
    async fn run(mut self) {
        loop {
            match self.connect().await {
                Ok((client, events)) => {
                    self.slot.send_replace(Some(client.clone()));
                    self.listen(&client, events).await;
                    self.slot.send_replace(None);
                }
                Err(error) => self.tell(Guest::Silent, error),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn connect(&self) -> Result<(Client, Receiver<QmpEvent>), String> {
        let socket = self.node.paths.qmp_socket(&self.server, self.incarnation);
        let told = |error: QmpError| explain(&error);
        let (client, events) = Client::connect(&socket, PATIENCE).await.map_err(told)?;
        let answer = client.execute(QueryUuid {}).await.map_err(told)?;
        if answer.uuid != self.server.as_str() {
            return Err(format!("the QEMU behind the socket is that of {}", answer.uuid));
        }
        Ok((client, events))
    }

    /// Until the connection breaks.
    async fn listen(&mut self, client: &Client, mut events: Receiver<QmpEvent>) {
        let mut ask = tokio::time::interval(ASK);
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Some(event) = event else { return };
                    tracing::debug!(?event, "QMP event");
                }
                _ = ask.tick() => self.bound_logs().await,
            }
            match client.execute(QueryStatus {}).await {
                Ok(answer) => self.tell(guest(answer.status), answer.status.as_str().to_owned()),
                Err(QmpError::Disconnected { .. }) => return,
                Err(error) => self.tell(Guest::Silent, explain(&error)),
            }
        }
    }

    fn tell(&mut self, state: Guest, detail: String) {
        let now = (state, detail.clone());
        let silent_still = state == Guest::Silent
            && self.last.as_ref().is_some_and(|(last, _)| *last == Guest::Silent);
        if self.last.as_ref() != Some(&now) && !silent_still {
            self.last = Some(now);
            let _ = self.queue.send(Event::Guest { incarnation: self.incarnation, state, detail });
        }
    }

    async fn bound_logs(&self) {
        let (paths, server) = (self.node.paths.clone(), self.server.clone());
        let bound = tokio::task::spawn_blocking(move || logs::bound(&paths, &server)).await;
        if let Ok(Err(error)) = bound {
            tracing::warn!(%error, "logs not bounded");
        }
    }
}

/// What a run state of QEMU means here.
const fn guest(state: RunState) -> Guest {
    match state {
        RunState::Prelaunch => Guest::Prelaunch,
        // A guest that sleeps does so by its own will, and wakes by it.
        RunState::Running | RunState::Suspended => Guest::Running,
        RunState::Shutdown => Guest::Halted,
        RunState::Paused
        | RunState::IoError
        | RunState::InternalError
        | RunState::GuestPanicked
        | RunState::Watchdog
        | RunState::Inmigrate
        | RunState::Postmigrate
        | RunState::FinishMigrate
        | RunState::SaveVm
        | RunState::RestoreVm
        | RunState::Debug
        | RunState::Colo
        | RunState::Unknown => Guest::Suspended,
    }
}
