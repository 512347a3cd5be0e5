use std::net::SocketAddr;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::node_certificate::Pem;
use crate::vm::incarnation::Incarnation;

const NODE: &str = "node-a.hypervisor.suigen";

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Issuer {
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(authority: &Issuer, name: &str) -> Pem {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap().pem();
    Pem { key: key.serialize_pem(), certificate, ca: authority.pem() }
}

fn server() -> Uid {
    "0a000000-0000-4000-8000-00000000000f".to_owned().try_into().unwrap()
}

struct Scene {
    address: SocketAddr,
    authority: Issuer,
    stop: CancellationToken,
    _dir: tempfile::TempDir,
}

/// A console server whose server has written a serial log.
async fn scene() -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path().join("state"), dir.path().join("run"), dir.path());
    std::fs::create_dir_all(paths.server_dir(&server())).unwrap();
    std::fs::write(paths.serial_log(&server()), "login: ").unwrap();
    let authority = authority();
    let identity = Identity::new(&issue(&authority, NODE)).unwrap();
    let (_, identified) = watch::channel(Some(Arc::new(identity)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let metrics = Metrics::default();
    let router = router(Consoles::new(paths, metrics.clone()));
    tokio::spawn(tls::serve(listener, router, identified, metrics, stop.clone()));
    Scene { address, authority, stop, _dir: dir }
}

/// Asks for the serial log as a client with that certificate; the whole answer,
/// or what came of the attempt.
async fn ask(scene: &Scene, client: Option<&Pem>, path: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(scene.authority.pem().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        Some(pem) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(scene.address).await?;
    let name = ServerName::try_from(NODE).unwrap();
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    tls.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    tls.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn only_the_operator_is_served() {
    let scene = scene().await;
    let log = format!("/console/v1/servers/{}/serial-log", server());
    let operator = issue(&scene.authority, OPERATOR_NAME);
    let answer = ask(&scene, Some(&operator), &log).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("login: "), "{answer}");

    let other_node = issue(&scene.authority, "node-b.hypervisor.suigen");
    let impostor = issue(&authority(), OPERATOR_NAME);
    for client in [None, Some(&other_node), Some(&impostor)] {
        let answer = ask(&scene, client, &log).await.unwrap_or_default();
        assert_eq!(answer, "", "served a client that is not the operator");
    }
    scene.stop.cancel();
}

#[tokio::test]
async fn a_path_cannot_climb_and_an_unknown_server_is_said() {
    let scene = scene().await;
    let operator = issue(&scene.authority, OPERATOR_NAME);
    let bad = ask(&scene, Some(&operator), "/console/v1/servers/..%2f..%2fetc/serial-log").await;
    assert!(bad.unwrap().starts_with("HTTP/1.1 400"));
    let other = "/console/v1/servers/0b000000-0000-4000-8000-00000000000f/serial-log";
    assert!(ask(&scene, Some(&operator), other).await.unwrap().starts_with("HTTP/1.1 404"));
    scene.stop.cancel();
}

#[tokio::test]
async fn sessions_share_one_socket_and_outlive_a_restart_of_the_guest() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Arc::new(Paths::new(dir.path().join("s"), dir.path().join("r"), dir.path()));
    let hubs = hub::Hubs::default();
    let mut qemu = serve_serial(&paths, 1);
    let (mut first, mut second) = (hubs.open(&server(), &paths), hubs.open(&server(), &paths));
    let (mut line, _) = qemu.accept().await.unwrap();
    line.write_all(b"login: ").await.unwrap();
    assert_eq!(&first.output.recv().await.unwrap()[..], b"login: ");
    assert_eq!(&second.output.recv().await.unwrap()[..], b"login: ");
    second.input.send("root\n".into()).await.unwrap();
    let mut typed = [0; 5];
    line.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"root\n");

    drop(line);
    qemu = serve_serial(&paths, 2);
    let (mut line, _) = qemu.accept().await.unwrap();
    line.write_all(b"again").await.unwrap();
    assert_eq!(&first.output.recv().await.unwrap()[..], b"again");
    drop((first, second));
    assert_eq!(line.read(&mut typed).await.unwrap(), 0, "let go when nobody looks");
}

fn serve_serial(paths: &Paths, incarnation: i64) -> UnixListener {
    let record: Incarnation = serde_json::from_value(serde_json::json!({
        "namespace": "acme", "name": "web-1", "epoch": 1, "incarnation": incarnation,
        "bootId": server(), "bundle": "b", "disks": [], "memoryBytes": 1,
    }))
    .unwrap();
    std::fs::create_dir_all(paths.incarnation_run_dir(&server(), incarnation)).unwrap();
    record.write(&paths.incarnation_record(&server())).unwrap();
    UnixListener::bind(paths.serial_socket(&server(), incarnation)).unwrap()
}
