//! The guest of a scenario, from inside and from its node.

use std::time::Duration;

use suigen_e2e::progress::wait_for;
use suigen_e2e::scenario::console::Console;
use suigen_e2e::scenario::endpoint::OperatorEndpoint;
use suigen_e2e::scenario::pings::{self, Pings};
use suigen_e2e::scenario::{self, leftovers};

use crate::harness::{Scenario, UP};

/// How soon a daemon drops the last file of a server that is gone.
const NOTICED: Duration = Duration::from_secs(10);

/// A server whose guest runs.
pub struct Guest<'a> {
    scenario: &'a Scenario,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Where it runs.
    pub node: String,
}

impl<'a> Guest<'a> {
    /// Waits until the server is ready and its guest has come to user space.
    pub fn up(scenario: &'a Scenario, name: &str) -> Self {
        scenario.wait(&format!("virtualserver/{name}"), "Ready", UP);
        let guest = Self::placed(scenario, name);
        guest.shell("true");
        guest
    }

    /// A server that has a hypervisor, whatever its guest does.
    pub fn placed(scenario: &'a Scenario, name: &str) -> Self {
        let object = format!("virtualserver/{name}");
        Self {
            scenario,
            name: name.to_owned(),
            uid: scenario.field(&object, "{.metadata.uid}"),
            node: scenario.field(&object, "{.status.placement.nodeName}"),
        }
    }

    /// `virtualserver/NAME`.
    pub fn object(&self) -> String {
        format!("virtualserver/{}", self.name)
    }

    /// Runs a command in the guest, over its serial console.
    pub fn shell(&self, command: &str) -> String {
        self.session().run(command)
    }

    /// A shell in the guest, for more than one command.
    pub fn session(&self) -> Session {
        let console = self.console().and_then(|mut console| console.login().map(|()| console));
        let console = console.unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
        Session { console, name: self.name.clone() }
    }

    /// A shell of root in a guest that asks who logs in.
    pub fn root_session(&self, limit: Duration) -> Session {
        let console = self.console().and_then(|mut console| {
            console.login_as_root(limit)?;
            Ok(console)
        });
        let console = console.unwrap_or_else(|error| panic!("{}: {error:#}", self.name));
        Session { console, name: self.name.clone() }
    }

    /// Its serial console.
    pub fn console(&self) -> anyhow::Result<Console> {
        let cluster = self.scenario.cluster;
        let namespace = &self.scenario.namespace;
        let account = format!("--serviceaccount={namespace}:default");
        let in_namespace = format!("--namespace={namespace}");
        let binding = scenario::feed(
            cluster,
            &["apply", "--filename=-"],
            &cluster.kubectl(&[
                &in_namespace,
                "create",
                "rolebinding",
                "console",
                "--clusterrole=suigen-edit",
                &account,
                "--dry-run=client",
                "--output=yaml",
            ])?,
        );
        binding?;
        let token = scenario::console_token(cluster, namespace, "default")?;
        let endpoint = OperatorEndpoint::open(cluster)?;
        match Console::open(&endpoint, (namespace, &self.name), &token)? {
            Ok(console) => Ok(console.keep(endpoint)),
            Err(refusal) => anyhow::bail!("no console: {} {}", refusal.status, refusal.message),
        }
    }

    /// The kernel's random name of this boot of the guest.
    pub fn boot_id(&self) -> String {
        self.shell("cat /proc/sys/kernel/random/boot_id")
    }

    /// The process of its QEMU, in the node's numbering; none when it is down.
    pub fn process(&self) -> Option<u32> {
        let find = format!("pgrep -f -- '[-]uuid {}' | head -n 1", self.uid);
        let pid = self.on_node(&find);
        pid.trim().parse().ok()
    }

    /// Ends its QEMU at once.
    pub fn kill_process(&self) {
        let pid = self.process().expect("the guest should have a process");
        self.on_node(&format!("kill -9 {pid}"));
    }

    /// Runs a shell command on its node.
    pub fn on_node(&self, command: &str) -> String {
        scenario::on_node(self.scenario.cluster, &self.node, &["sh", "-c", command])
            .unwrap_or_else(|error| panic!("{error:#}"))
    }

    /// What its node still has of it and of further UIDs, once the daemon had
    /// time to notice that the object is gone.
    pub fn leftovers(&self, further: &[String]) -> Vec<String> {
        let mut uids = vec![self.uid.clone()];
        uids.extend_from_slice(further);
        let mut left = Vec::new();
        let waited = wait_for("nothing to be left", NOTICED, || {
            left = leftovers::of(self.scenario.cluster, &self.node, &uids)?;
            Ok(left.is_empty().then_some(()))
        });
        // What stays is for the caller to judge; a look that failed is not.
        assert!(waited.is_ok() || !left.is_empty(), "{}: {waited:?}", self.node);
        left
    }
}

/// A shell in a guest.
pub struct Session {
    console: Console,
    name: String,
}

impl Session {
    /// Runs a command and returns what it printed.
    pub fn run(&mut self, command: &str) -> String {
        self.console.run(command).unwrap_or_else(|error| panic!("{}: {error:#}", self.name))
    }

    /// Pings an address until [`Self::stop_pinging`], of this or a later session.
    pub fn keep_pinging(&mut self, address: &str) {
        pings::begin(&mut self.console, address).unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// What became of the packets since [`Self::keep_pinging`].
    pub fn stop_pinging(&mut self) -> Pings {
        pings::end(&mut self.console).unwrap_or_else(|error| panic!("{error:#}"))
    }
}
