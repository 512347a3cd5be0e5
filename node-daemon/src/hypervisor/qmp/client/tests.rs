use super::*;
use crate::hypervisor::qmp::commands::{Cont, QueryStatus, RunState};
use serde_json::json;
use tokio::net::UnixListener;

/// A QEMU that says what the test tells it to.
struct Fake {
    _dir: tempfile::TempDir,
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Fake {
    async fn with_client() -> (Self, Client, mpsc::Receiver<Event>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qmp");
        let listener = UnixListener::bind(&path).unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let (reader, writer) = stream.into_split();
            let mut fake = Self { _dir: dir, reader: BufReader::new(reader), writer };
            fake.say(&json!({ "QMP": { "version": {}, "capabilities": [] } })).await;
            let request = fake.hear().await;
            assert_eq!(request["execute"], "qmp_capabilities");
            fake.say(&json!({ "return": {}, "id": request["id"] })).await;
            fake
        };
        let (fake, client) = tokio::join!(serve, Client::connect(&path, PATIENCE));
        let (client, events) = client.unwrap();
        (fake, client, events)
    }

    async fn say(&mut self, message: &Value) {
        self.writer.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.reader.read_line(&mut line).await.unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

#[tokio::test]
async fn replies_find_their_callers_in_any_order() {
    let (mut fake, client, mut events) = Fake::with_client().await;
    let serve = async {
        let first = fake.hear().await;
        let second = fake.hear().await;
        fake.say(&json!({ "event": "RESUME", "timestamp": {} })).await;
        let (status, cont) =
            if first["execute"] == "cont" { (second, first) } else { (first, second) };
        fake.say(&json!({ "return": {}, "id": cont["id"] })).await;
        let running = json!({ "running": true, "status": "running" });
        fake.say(&json!({ "return": running, "id": status["id"] })).await;
        fake
    };
    let (status, cont, _fake) =
        tokio::join!(client.execute(QueryStatus {}), client.execute(Cont {}), serve);
    cont.unwrap();
    assert_eq!(status.unwrap().status, RunState::Running);
    assert_eq!(events.recv().await, Some(Event::Resume));
}

#[tokio::test]
async fn silence_and_refusal_and_the_end_are_told_apart() {
    let (mut fake, client, mut events) = Fake::with_client().await;
    let short = Duration::from_millis(20);
    let error = client.execute_within(Cont {}, short).await.unwrap_err();
    assert_eq!(error.reason(), "QmpTimedOut");
    assert_eq!(client.shared.pending.lock().as_ref().unwrap().len(), 0, "forgotten");
    let late = fake.hear().await;
    fake.say(&json!({ "return": {}, "id": late["id"] })).await;

    let serve = async {
        let request = fake.hear().await;
        let error = json!({ "class": "GenericError", "desc": "not now" });
        fake.say(&json!({ "error": error, "id": request["id"] })).await;
        fake
    };
    let (answer, fake) = tokio::join!(client.execute(Cont {}), serve);
    assert_eq!(answer.unwrap_err().reason(), "QmpRefused");

    drop(fake);
    assert_eq!(events.recv().await, None);
    let error = client.execute(Cont {}).await.unwrap_err();
    assert_eq!(error.reason(), "QmpDisconnected");
}

#[tokio::test]
async fn nonsense_ends_the_connection() {
    let (mut fake, client, mut events) = Fake::with_client().await;
    fake.writer.write_all(b"HTTP/1.1 200 OK\n").await.unwrap();
    assert_eq!(events.recv().await, None);
    assert_eq!(client.execute(Cont {}).await.unwrap_err().reason(), "QmpDisconnected");
}

#[tokio::test]
async fn a_socket_that_never_comes_is_not_waited_for_without_end() {
    let dir = tempfile::tempdir().unwrap();
    let patience = Duration::from_millis(30);
    let error = Client::connect(&dir.path().join("qmp"), patience).await.unwrap_err();
    assert_eq!(error.reason(), "QmpDisconnected");
}
