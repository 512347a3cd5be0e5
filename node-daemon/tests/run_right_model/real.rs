//! Where the model asks the code: small numbers become real objects, and the
//! pure functions of operator and node-daemon answer.
//!
//! Answers are kept: each distinct question is put to the code once a thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;

use suigen_crds::ident::{Epoch, LogId, NodeName, Uid};
use suigen_crds::right;
use suigen_crds::server_class::ResourceType;
use suigen_crds::server_image::Firmware;
use suigen_crds::virtual_server::{
    DeletionProtection, Placement, PowerState, ResolvedClass, RestartPolicy, Runtime, RuntimeState,
    VirtualServer, VirtualServerSpec, VirtualServerStatus,
};
use suigen_node_daemon::right::decide::{Me, View};
use suigen_node_daemon::right::history::{Held, Refusal};
use suigen_node_daemon::right::{History, Word as Logged};

use crate::state::{Log, Object, Placed, Said, Word};

const UID: &str = "0a000000-0000-4000-8000-000000000000";

type Memory<K, V> = RefCell<HashMap<K, V>>;

thread_local! {
    static FREE: Memory<Object, bool> = RefCell::default();
    static NEXT: Memory<Object, u8> = RefCell::default();
    static VIEWS: Memory<(u8, u8, Option<Object>), View> = RefCell::default();
}

fn once<K: Hash + Eq + Copy, V: Copy>(memory: &Memory<K, V>, key: K, ask: fn(K) -> V) -> V {
    *memory.borrow_mut().entry(key).or_insert_with(|| ask(key))
}

/// `is_free`, as the operator asks it.
pub fn is_free(object: &Object) -> bool {
    FREE.with(|memory| once(memory, *object, |object| right::is_free(Some(&status(&object)))))
}

/// `next_epoch`, as the operator asks it.
pub fn next_epoch(object: &Object) -> u8 {
    let ask = |object| small(right::next_epoch(Some(&status(&object))));
    NEXT.with(|memory| once(memory, *object, ask))
}

/// What the daemon of `node` with this log makes of what it read.
pub fn view(node: u8, log: u8, object: Option<Object>) -> View {
    let ask = |(node, log, object): (u8, u8, Option<Object>)| {
        let me = Me { node: node_name(node), log: log_id(log) };
        let uid = Uid::try_from(UID.to_owned()).unwrap();
        View::of(&me, &uid, object.map(|object| server(&object)).as_ref(), false)
    };
    VIEWS.with(|memory| once(memory, (node, log, object), ask))
}

/// A log's sum, as the code has it.
pub fn history(log: &Log) -> History {
    let some = |epoch: u8| (epoch != 0).then_some(Epoch(epoch.into()));
    let held =
        |epoch| Held { epoch, namespace: String::new(), name: String::new(), memory_bytes: 0 };
    let refused = |epoch| Refusal { epoch, reason: String::new(), message: String::new() };
    History {
        held: some(log.held).map(held),
        given_up: some(log.given_up),
        refused: some(log.refused).map(refused),
        highest: some(log.highest),
    }
}

/// Adds a word to a log, by the code's own rules.
pub fn append(log: &mut Log, word: &Logged) {
    let mut sum = history(log);
    sum.add(word);
    let none_is_zero = |epoch: Option<Epoch>| epoch.map_or(0, small);
    *log = Log {
        id: log.id,
        held: none_is_zero(sum.held.map(|held| held.epoch)),
        given_up: none_is_zero(sum.given_up),
        refused: none_is_zero(sum.refused.map(|refused| refused.epoch)),
        highest: none_is_zero(sum.highest),
    };
}

/// The model's epoch.
pub fn small(epoch: Epoch) -> u8 {
    u8::try_from(epoch.0).unwrap()
}

/// What the server's spec asks for: to run, whatever happens.
pub fn spec() -> VirtualServerSpec {
    VirtualServerSpec {
        server_class_name: "c".into(),
        power_state: PowerState::PoweredOn,
        restart_policy: RestartPolicy::Always,
        deletion_protection: DeletionProtection::Disabled,
        boot_disk_name: "root".into(),
        disks: vec![],
        network_interfaces: vec![],
        user_data_secret_name: None,
        ssh_authorized_keys: vec![],
    }
}

fn node_name(node: u8) -> NodeName {
    format!("node-{node}").try_into().unwrap()
}

fn log_id(log: u8) -> LogId {
    format!("0b000000-0000-4000-8000-{log:012}").try_into().unwrap()
}

fn server(object: &Object) -> VirtualServer {
    let mut server = VirtualServer::new("web", spec());
    server.metadata.uid = Some(UID.to_owned());
    server.metadata.deletion_timestamp = object.deleting.then_some(
        k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH),
    );
    server.status = Some(status(object));
    server
}

fn status(object: &Object) -> VirtualServerStatus {
    VirtualServerStatus {
        placement: object.placed.as_ref().map(placement),
        runtime: object.said.as_ref().map(runtime),
        ..VirtualServerStatus::default()
    }
}

fn placement(placed: &Placed) -> Placement {
    Placement {
        node_name: node_name(placed.node),
        epoch: Epoch(placed.epoch.into()),
        wal_id: log_id(placed.log),
        class: ResolvedClass {
            name: "c".into(),
            resource_type: ResourceType::BestEffort,
            vcpus: 1,
            memory_bytes: 1,
            cpu_floor_millis: 0,
        },
        firmware: Firmware::Bios,
        disks: vec![],
    }
}

fn runtime(said: &Said) -> Runtime {
    Runtime {
        node_name: node_name(said.node),
        epoch: Epoch(said.epoch.into()),
        state: match said.word {
            Word::Starting => RuntimeState::Starting,
            Word::Refused => RuntimeState::Refused,
            Word::Released => RuntimeState::Released,
        },
        reason: None,
        message: None,
        released_epoch: (said.released != 0).then_some(Epoch(said.released.into())),
        boot_id: None,
        incarnation: None,
        bundle: None,
        first_boot_digest: None,
        started_at: None,
    }
}
