//! QEMU's serial socket has room for one client. The hub is that client, and
//! shares what it hears among all sessions of a server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use suigen_crds::ident::Uid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc};

use crate::host::paths::Paths;
use crate::vm::incarnation::Incarnation;

/// Chunks that a slow reader may be behind.
const BEHIND: usize = 256;
/// How long until a server that restarts is looked for again.
const AGAIN: Duration = Duration::from_millis(500);

/// One user's end of a console.
#[derive(Debug)]
pub struct Session {
    /// What the guest writes.
    pub output: broadcast::Receiver<Bytes>,
    /// What is typed.
    pub input: mpsc::Sender<Bytes>,
}

#[derive(Debug)]
struct Hub {
    output: broadcast::Sender<Bytes>,
    input: mpsc::Sender<Bytes>,
}

/// The hubs of servers that somebody looks at.
#[derive(Debug, Clone, Default)]
pub struct Hubs {
    hubs: Arc<Mutex<HashMap<Uid, Hub>>>,
}

impl Hubs {
    /// Opens a session; connects to QEMU if it is the first.
    pub fn open(&self, server: &Uid, paths: &Arc<Paths>) -> Session {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(server) {
            return Session { output: hub.output.subscribe(), input: hub.input.clone() };
        }
        let (output, first) = broadcast::channel(BEHIND);
        let (input, typed) = mpsc::channel(BEHIND);
        hubs.insert(server.clone(), Hub { output: output.clone(), input: input.clone() });
        let pump = pump(self.clone(), server.clone(), paths.clone(), output, typed);
        tokio::spawn(pump);
        Session { output: first, input }
    }

    /// Removes a hub that nobody listens to; false when somebody does.
    fn close(&self, server: &Uid) -> bool {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        let unused = hubs.get(server).is_none_or(|hub| hub.output.receiver_count() == 0);
        if unused {
            hubs.remove(server);
        }
        unused
    }
}

/// Runs as long as somebody listens; a restarted server is joined again.
async fn pump(
    hubs: Hubs,
    server: Uid,
    paths: Arc<Paths>,
    output: broadcast::Sender<Bytes>,
    mut typed: mpsc::Receiver<Bytes>,
) {
    while !hubs.close(&server) {
        if let Some(socket) = connect(&paths, &server).await {
            let _ = share(socket, &output, &mut typed).await;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn connect(paths: &Paths, server: &Uid) -> Option<UnixStream> {
    let record = Incarnation::read(&paths.incarnation_record(server)).ok()??;
    UnixStream::connect(paths.serial_socket(server, record.incarnation)).await.ok()
}

async fn share(
    mut socket: UnixStream,
    output: &broadcast::Sender<Bytes>,
    typed: &mut mpsc::Receiver<Bytes>,
) -> std::io::Result<()> {
    let (mut reader, mut writer) = socket.split();
    let mut idle = tokio::time::interval(AGAIN);
    loop {
        let mut buffer = BytesMut::with_capacity(4096);
        tokio::select! {
            read = reader.read_buf(&mut buffer) => {
                if read? == 0 {
                    return Ok(());
                }
                let _ = output.send(buffer.freeze());
            }
            Some(bytes) = typed.recv() => writer.write_all(&bytes).await?,
            _ = idle.tick() => {
                if output.receiver_count() == 0 {
                    return Ok(());
                }
            }
        }
    }
}
