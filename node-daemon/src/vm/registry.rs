//! All tasks of the node: made when a server is first seen, found or logged;
//! forgotten when they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use suigen_crds::ident::Uid;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::TaskTracker;

use super::event::Event;
use super::node::Node;
use super::task::Task;

/// The tasks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry {
    node: Arc<Node>,
    queues: Arc<Mutex<HashMap<Uid, UnboundedSender<Event>>>>,
    tasks: TaskTracker,
}

impl Registry {
    /// No tasks yet.
    #[must_use]
    pub fn new(node: Arc<Node>) -> Self {
        Self { node, queues: Arc::default(), tasks: TaskTracker::new() }
    }

    /// Puts an event into a server's queue; makes its task if there is none.
    pub fn tell(&self, server: &Uid, event: Event) {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match queues.get(server) {
            // A task that just ended gives the event back.
            Some(queue) => match queue.send(event) {
                Ok(()) => return,
                Err(returned) => returned.0,
            },
            None => event,
        };
        let (sender, queue) = unbounded_channel();
        let _ = sender.send(event);
        let task = Task::new(self.node.clone(), server.clone(), sender.clone(), queue);
        queues.insert(server.clone(), sender);
        self.start(task);
    }

    /// Puts an event into the queue of a server that has a task.
    pub fn tell_known(&self, server: &Uid, event: Event) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(server) {
            let _ = queue.send(event);
        }
    }

    /// Wakes every task but those of `seen`.
    pub fn wake_others(&self, seen: &std::collections::HashSet<Uid>) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, queue) in queues.iter().filter(|(uid, _)| !seen.contains(uid)) {
            let _ = queue.send(Event::Woken);
        }
    }

    /// Takes over a task that adoption made.
    pub fn adopt(
        &self,
        server: &Uid,
        make: impl FnOnce(UnboundedSender<Event>, UnboundedReceiver<Event>) -> Task,
    ) {
        let (sender, queue) = unbounded_channel();
        let task = make(sender.clone(), queue);
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone(), sender);
        self.start(task);
    }

    fn start(&self, task: Task) {
        let registry = self.clone();
        let uid = task.uid.clone();
        self.tasks.spawn(async move {
            task.run().await;
            let mut queues = registry.queues.lock().unwrap_or_else(PoisonError::into_inner);
            if queues.get(&uid).is_some_and(UnboundedSender::is_closed) {
                queues.remove(&uid);
            }
        });
    }

    /// What all tasks share.
    #[must_use]
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Waits until every task has ended; they do when the daemon stops.
    pub async fn join(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
