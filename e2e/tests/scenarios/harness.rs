//! A scenario's surroundings: the one lab, a namespace of its own, and what
//! is kept of it when it fails.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use suigen_e2e::cluster::Cluster;
use suigen_e2e::scenario::manifest::Server;
use suigen_e2e::scenario::pinned::Pinned;
use suigen_e2e::scenario::{self, Named};
use suigen_e2e::setup;

/// Hang guard for a server to come up under emulation on a busy machine.
pub const UP: Duration = Duration::from_secs(240);
/// Hang guard for the system to notice something.
pub const SOON: Duration = Duration::from_secs(120);

/// One test's place in the lab.
pub struct Scenario {
    /// The cluster of the lab.
    pub cluster: &'static Cluster,
    /// The namespace that is this scenario's alone.
    pub namespace: String,
    turn: Arc<File>,
}

impl Scenario {
    /// A scenario that others may run beside.
    pub fn shared(name: &str) -> Self {
        Self::begin(name, FlockOperation::LockShared)
    }

    /// A scenario that breaks what others stand on, and so runs alone.
    pub fn alone(name: &str) -> Self {
        Self::begin(name, FlockOperation::LockExclusive)
    }

    fn begin(name: &str, turn: FlockOperation) -> Self {
        let cluster = cluster();
        let lock = cluster.lab().expect("these scenarios need the lab").path("scenarios.lock");
        let file = File::create(&lock).expect("create the scenarios' lock");
        flock(&file, turn).expect("wait for this scenario's turn");
        Self::in_namespace(format!("t-{name}"), Arc::new(file))
    }

    /// Another namespace, as of another tenant, in the same turn.
    pub fn beside(&self, name: &str) -> Self {
        Self::in_namespace(format!("t-{name}"), self.turn.clone())
    }

    /// Ends this scenario's turn: what follows bears whatever others break.
    pub fn let_others_run(&self) {
        flock(&*self.turn, FlockOperation::Unlock).expect("end this scenario's turn");
    }

    fn in_namespace(namespace: String, turn: Arc<File>) -> Self {
        let cluster = cluster();
        // What an earlier run of the same test left is not this run's business.
        cluster
            .kubectl(&["delete", "namespace", &namespace, "--ignore-not-found", "--timeout=180s"])
            .expect("remove the namespace of an earlier run");
        cluster.kubectl(&["create", "namespace", &namespace]).expect("create the namespace");
        Self { cluster, namespace, turn }
    }

    /// Applies manifests.
    pub fn apply(&self, manifests: &str) {
        scenario::apply(self.cluster, manifests).expect("apply");
    }

    /// Applies manifests whose servers are all to go to one hypervisor, whatever
    /// else is placed meanwhile.
    pub fn apply_on(&self, node: &str, manifests: &str, servers: &[&str]) {
        let lock = self.cluster.lab().expect("a lab").path("placing.lock");
        let lock = File::create(lock).expect("create the placing lock");
        flock(&lock, FlockOperation::LockExclusive).expect("wait to place servers");
        let _pinned = Pinned::to(self.cluster, node).unwrap_or_else(|error| panic!("{error:#}"));
        self.apply(manifests);
        for server in servers {
            let object = format!("virtualserver/{server}");
            let placed = "{.status.placement.nodeName}";
            let there = |on: &str| on == node;
            scenario::wait_field(self.cluster, self.named(&object), placed, SOON, there)
                .unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    /// A small server in this scenario's namespace.
    pub fn tiny<'a>(&'a self, name: &'a str) -> Server<'a> {
        Server::tiny(&self.namespace, name)
    }

    /// An object of this scenario's namespace.
    pub fn named<'a>(&'a self, kind_and_name: &'a str) -> Named<'a> {
        (&self.namespace, kind_and_name)
    }

    /// Waits until the object has the condition.
    pub fn wait(&self, kind_and_name: &str, condition: &str, limit: Duration) {
        let what = format!("condition={condition}");
        scenario::wait(self.cluster, self.named(kind_and_name), &what, limit)
            .unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// A field of an object by JSONPath.
    pub fn field(&self, kind_and_name: &str, path: &str) -> String {
        scenario::field(self.cluster, self.named(kind_and_name), path)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until a field of an object is as wanted, and returns it.
    pub fn wait_field(
        &self,
        kind_and_name: &str,
        path: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> String {
        scenario::wait_field(self.cluster, self.named(kind_and_name), path, SOON, wanted)
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Runs kubectl in this scenario's namespace.
    pub fn kubectl(&self, args: &[&str]) -> String {
        let namespace = format!("--namespace={}", self.namespace);
        let args: Vec<&str> =
            [namespace.as_str()].into_iter().chain(args.iter().copied()).collect();
        self.cluster.kubectl(&args).unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// Waits until a condition's `reason: message` contains every one of the texts.
    pub fn says(&self, kind_and_name: &str, condition: &str, wanted: &[&str]) -> String {
        let one = format!(r#"{{.status.conditions[?(@.type=="{condition}")]"#);
        let path = format!("{one}.reason}}: {one}.message}}");
        let all = |said: &str| wanted.iter().all(|text| said.contains(text));
        scenario::wait_field(self.cluster, self.named(kind_and_name), &path, SOON, all)
            .unwrap_or_else(|error| panic!("{condition} should say {wanted:?}: {error:#}"))
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete(&self, kind_and_name: &str) {
        self.cluster
            .kubectl(&[
                &format!("--namespace={}", self.namespace),
                "delete",
                kind_and_name,
                "--timeout=180s",
            ])
            .unwrap_or_else(|error| panic!("{error:#}"));
    }
}

impl Drop for Scenario {
    fn drop(&mut self) {
        if std::thread::panicking() {
            match self.keep_evidence() {
                Ok(dir) => eprintln!("what there was to see is kept in {}", dir.display()),
                Err(error) => eprintln!("no evidence could be kept: {error:#}"),
            }
            return;
        }
        let gone = self.cluster.kubectl(&[
            "delete",
            "namespace",
            &self.namespace,
            "--ignore-not-found",
            "--timeout=180s",
        ]);
        if let Err(error) = gone {
            panic!("the namespace of a passed scenario does not go: {error:#}");
        }
    }
}

impl Scenario {
    fn keep_evidence(&self) -> anyhow::Result<PathBuf> {
        let lab = self.cluster.lab()?;
        let dir = lab.path("evidence").join(&self.namespace);
        fs::create_dir_all(&dir)?;
        let looks: [(&str, &[&str]); 5] = [
            ("objects.yaml", &["get", "suigen", "--all-namespaces", "--output=yaml"]),
            ("events.txt", &["get", "events", "--all-namespaces"]),
            ("pods.txt", &["get", "pods", "--all-namespaces", "--output=wide"]),
            (
                "operator.log",
                &[
                    "--namespace=suigen-system",
                    "logs",
                    "--selector=app.kubernetes.io/component=operator",
                    "--tail=-1",
                    "--prefix",
                ],
            ),
            (
                "node-daemon.log",
                &[
                    "--namespace=suigen-system",
                    "logs",
                    "--selector=app.kubernetes.io/component=node-daemon",
                    "--tail=-1",
                    "--prefix",
                ],
            ),
        ];
        for (file, args) in looks {
            let text = self.cluster.kubectl(args).unwrap_or_else(|error| format!("{error:#}"));
            fs::write(dir.join(file), text)?;
        }
        Ok(dir)
    }
}

/// The lab, up and with Suigen in it; the first to ask brings it up.
pub fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| setup::ready().unwrap_or_else(|error| panic!("{error:#}")))
}
