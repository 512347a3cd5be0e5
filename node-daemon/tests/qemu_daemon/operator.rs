//! An operator in miniature: HTTPS under the system's own CA, one answer to
//! everything.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[derive(Default)]
struct Shared {
    answer: (u16, String),
    requests: Vec<String>,
}

pub struct FakeOperator {
    pub address: SocketAddr,
    /// The CA of its certificate, as PEM.
    pub ca: String,
    shared: Arc<Mutex<Shared>>,
}

impl FakeOperator {
    /// Serves until the test ends.
    pub fn serve() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["suigen-operator".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &ca).unwrap().pem();
        let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Mutex<Shared>>::default();
        let (config, served) = (Arc::new(config), shared.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let connection = ServerConnection::new(config.clone()).unwrap();
                answer(StreamOwned::new(connection, stream.unwrap()), &served);
            }
        });
        Self { address, ca: ca.pem(), shared }
    }

    pub fn answer(&self, status: u16, body: &str) {
        self.shared.lock().unwrap().answer = (status, body.to_owned());
    }

    /// `path authorization` of each request so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().unwrap().requests.clone()
    }
}

/// A client that goes away is its own business.
fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>, shared: &Mutex<Shared>) {
    let mut reader = BufReader::new(&mut stream);
    let (mut path, mut token) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) <= 2 {
            break;
        }
        match line.trim().split_once(' ') {
            Some(("GET", rest)) => path = rest.trim_end_matches(" HTTP/1.1").to_owned(),
            Some((name, value)) if name.eq_ignore_ascii_case("authorization:") => {
                token = value.to_owned();
            }
            _ => {}
        }
    }
    let mut shared = shared.lock().unwrap();
    shared.requests.push(format!("{path} {token}"));
    let (status, body) = &shared.answer;
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.flush());
}
