//! A web server of one directory, on loopback.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sha2::Digest;
use suigen_crds::ident::Sha256;

pub struct Web {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Web {
    /// Serves until the test ends.
    pub fn serve(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (dir, count) = (dir.to_owned(), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                let dir = dir.clone();
                std::thread::spawn(move || answer(&stream.unwrap(), &dir));
            }
        });
        Self { address, requests }
    }

    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    pub fn sha256(&self, path: &Path) -> Sha256 {
        let digest = sha2::Sha256::digest(std::fs::read(path).unwrap());
        hex::encode(digest).try_into().unwrap()
    }
}

/// A client that goes away is its own business.
fn answer(mut stream: &TcpStream, dir: &Path) {
    let mut line = String::new();
    let mut reader = BufReader::new(stream);
    reader.read_line(&mut line).unwrap();
    let path: PathBuf = dir.join(line.split(' ').nth(1).unwrap().trim_start_matches('/'));
    let mut rest = String::new();
    while reader.read_line(&mut rest).unwrap() > 2 {
        rest.clear();
    }
    let (status, body) = match std::fs::read(path) {
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}
