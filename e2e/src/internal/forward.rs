//! Passes TCP connections from the host's loopback into the lab, so that a
//! plain kubectl reaches an API server that has no address on the host.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};
use tokio::net::TcpStream;

use super::launch::enter_network;

/// Listens on the host and connects in the lab until the process is ended.
pub fn run(listen: SocketAddr, to: SocketAddr, netns: &Path) -> Result<()> {
    // The listener stays in the host's namespace, sockets made later are in the lab's.
    let listener = TcpListener::bind(listen).with_context(|| format!("listen on {listen}"))?;
    listener.set_nonblocking(true)?;
    enter_network(netns)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await.context("accept")?;
            tokio::spawn(pass(client, to));
        }
    })
}

/// A connection that cannot be made is closed: the client sees what it would see there.
async fn pass(mut client: TcpStream, to: SocketAddr) {
    match TcpStream::connect(to).await {
        Ok(mut server) => {
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        }
        Err(error) => eprintln!("connect to {to}: {error}"),
    }
}
