//! Answers DHCP at the taps: a task a port.

use std::collections::BTreeMap;
use std::io;

use tokio::task::JoinHandle;

use super::socket::TapSocket;
use super::{Lease, answer};
use crate::network::desired::{Desired, Port};
use crate::network::ident::{LinkName, MacAddress};
use crate::network::netlink::netns::Namespace;

/// The responders of all ports.
#[derive(Debug)]
pub struct Responders {
    namespace: Namespace,
    running: BTreeMap<LinkName, Running>,
}

#[derive(Debug)]
struct Running {
    served: Served,
    task: JoinHandle<()>,
}

/// What a responder depends on; a change of any needs another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Served {
    index: u32,
    mac: MacAddress,
    lease: Lease,
}

impl Responders {
    /// Serves nobody yet.
    #[must_use]
    pub const fn new(namespace: Namespace) -> Self {
        Self { namespace, running: BTreeMap::new() }
    }

    /// Serves exactly the ports that are desired and have a tap. Ports whose
    /// tap and lease are as before are not disturbed.
    pub async fn serve(&mut self, desired: &Desired, indices: &BTreeMap<LinkName, u32>) {
        let wanted: BTreeMap<LinkName, Served> =
            desired.ports().filter_map(|port| served(port, indices)).collect();
        let keep = |name: &LinkName, running: &Running| {
            !running.task.is_finished() && wanted.get(name) == Some(&running.served)
        };
        let names: Vec<LinkName> = self.running.keys().cloned().collect();
        for name in names {
            if self.running.get(&name).is_some_and(|running| !keep(&name, running)) {
                self.end(&name).await;
            }
        }
        for (name, served) in wanted {
            if !self.running.contains_key(&name) {
                self.begin(name, served);
            }
        }
    }

    /// Serves nobody any more.
    pub async fn stop(&mut self) {
        while let Some(name) = self.running.keys().next().cloned() {
            self.end(&name).await;
        }
    }

    async fn end(&mut self, name: &LinkName) {
        if let Some(running) = self.running.remove(name) {
            running.task.abort();
            // Its only result is that it ended.
            let _ = running.task.await;
        }
    }

    fn begin(&mut self, name: LinkName, served: Served) {
        let socket = TapSocket::open(&self.namespace, served.index, served.lease.server);
        match socket {
            Ok(socket) => {
                let task = tokio::spawn(respond(socket, name.clone(), served.clone()));
                self.running.insert(name, Running { served, task });
            }
            // The tap went away meanwhile; its end is being reported.
            Err(error) => tracing::warn!(%name, %error, "no DHCP at this tap"),
        }
    }
}

fn served(port: &Port, indices: &BTreeMap<LinkName, u32>) -> Option<(LinkName, Served)> {
    let name = LinkName::tap(&port.uid);
    let index = *indices.get(&name)?;
    let lease = port.lease.clone()?;
    Some((name, Served { index, mac: port.mac, lease }))
}

async fn respond(socket: TapSocket, name: LinkName, served: Served) {
    if let Err(error) = serve(&socket, &served).await {
        tracing::debug!(%name, %error, "responder ended");
    }
}

async fn serve(socket: &TapSocket, served: &Served) -> io::Result<()> {
    loop {
        let frame = match socket.receive().await {
            // The link was switched off; it may come back.
            Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => continue,
            frame => frame?,
        };
        if let Some(reply) = answer(&frame, served.mac, &served.lease) {
            socket.send(&reply)?;
        }
    }
}
