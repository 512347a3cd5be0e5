//! The results, as a terminal and docs/benchmarks.md show them.

mod scale;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde_json::Value;

use super::audit::{Write, tally};
use super::builds::Build;
use super::memory::{SystemMemory, mib};
use super::networks;
use super::scale::Scale;
use super::smaps::GuestMemory;
use super::table::Table;

/// Everything that was measured.
#[derive(Debug)]
pub struct Report {
    /// On what.
    pub machine: Vec<(&'static str, String)>,
    /// How long the surroundings took to come up.
    pub spans: Vec<(String, f64)>,
    /// How long everything took to build.
    pub builds: Vec<Build>,
    /// Every write of the idle system without servers.
    pub bare: Vec<Write>,
    /// How long it was watched idle.
    pub idle_time: Duration,
    /// The memory of Suigen's programs before the first server.
    pub empty: SystemMemory,
    /// The same after the last.
    pub after: SystemMemory,
    /// With each number of servers.
    pub scales: Vec<Scale>,
    /// What tenants' networks cost a node, as the data plane measured it.
    pub networks: Option<Value>,
}

const PREFACE: &str = "\
# Benchmarks

This page is written by `./e2e/bench --write`. Repeat it on a machine of your own, as root, from a clone:

    ./e2e/bench --fresh            # measure and print
    ./e2e/bench --servers 1,5      # other numbers of servers
    ./e2e/bench --networks         # with the networks of a node, which takes an optimised build
    ./e2e/bench --fresh --networks --write    # all of it, and rewrite this page

`--fresh` removes the lab first, so that its start is measured too. What counts are counts and ratios: seconds say
more about the machine than about Suigen. All servers of a run are created at once and placed on one hypervisor, so
that one daemon has all the work; fewer than five are brought up three times. Of several values the median is shown,
with the smallest and the largest.
";

impl Report {
    /// The page docs/benchmarks.md.
    pub fn page(&self) -> String {
        format!("{PREFACE}\n{}", self.results())
    }

    /// All tables.
    pub fn results(&self) -> String {
        let mut sections = vec![self.on_what(), self.at_a_glance()];
        sections.extend(self.scales.iter().map(scale::steps));
        sections.extend([self.writes(), self.idle(), self.memory(), self.restart()]);
        sections.extend(self.networks.as_ref().map(networks));
        sections.push(self.times());
        sections.join("\n")
    }

    fn on_what(&self) -> String {
        let mut table = Table::new(&["measured on", ""]);
        for (name, value) in &self.machine {
            table.row([*name, value.as_str()]);
        }
        table.to_string()
    }

    fn largest(&self) -> Option<&Scale> {
        self.scales.iter().find(|scale| scale.steady.is_some())
    }

    fn at_a_glance(&self) -> String {
        let mut table = Table::new(&["figure", "servers", "measured", "goal", "verdict"]);
        let mut judge = |figure: &str, scale: &Scale, value: Option<f64>, goal: f64, unit: &str| {
            let Some(value) = value else { return };
            let verdict = if value <= goal { "met" } else { "missed" };
            let (value, goal) = (format!("{value:.1}{unit}"), format!("≤ {goal:.0}{unit}"));
            table.row([figure, &scale.count.to_string(), &value, &goal, verdict]);
        };
        for scale in &self.scales {
            judge(
                "API writes to bring a server up",
                scale,
                scale::budgeted(scale, &scale.up),
                12.0,
                "",
            );
            let worst = |bytes: fn(&GuestMemory) -> u64| {
                scale.guests.iter().map(|guest| mib(bytes(guest))).reduce(f64::max)
            };
            let all = worst(GuestMemory::overhead);
            judge("host memory beyond a guest's RAM, the worst", scale, all, 80.0, " MiB");
            let native = worst(|guest| guest.overhead() - guest.translated);
            judge("the same but for what emulation translated", scale, native, 80.0, " MiB");
        }
        if let Some(scale) = self.largest() {
            let grown = scale.system.growth(&self.empty, "operator that leads", scale.count);
            judge("operator memory for a server", scale, grown, 30.0, " KiB");
            let idle = scale.steady.as_ref().map(|steady| self.idle_writes(&steady.idle));
            judge("idle writes a minute, but Lease renewals", scale, idle, 0.0, "");
        }
        format!("## At a glance\n\n{table}")
    }

    fn writes(&self) -> String {
        let mut text = String::from(
            "## API writes\n\nFrom the API server's audit log: every write by operator and node-daemon, and every\n\
             write by others to objects of suigen.dev, until the system is at rest. The budget is for the two\n\
             programs; events and Lease renewals are aside, refused writes (a conflict, 409) count.\n",
        );
        for scale in &self.scales {
            let servers = scale.count;
            text +=
                &format!("\n### Up: {servers} server(s)\n\n{}", scale::writes(scale, &scale.up));
            text += &format!(
                "\n### Deleted: {servers} server(s)\n\n{}",
                scale::writes(scale, &scale.down)
            );
        }
        if let Some((scale, steady)) =
            self.largest().and_then(|one| Some((one, one.steady.as_ref()?)))
        {
            let table = scale::writes(scale, &steady.adopted);
            text +=
                &format!("\n### After the daemon's death: {} server(s)\n\n{table}", scale.count);
        }
        text
    }

    fn idle_writes(&self, writes: &[Write]) -> f64 {
        let ours = writes.iter().filter(|write| write.kind.is_ours());
        self.a_minute(ours.filter(|write| write.kind.resource != "leases").count())
    }

    fn a_minute(&self, count: usize) -> f64 {
        f64::from(u32::try_from(count).unwrap_or(u32::MAX)) * 60.0 / self.idle_time.as_secs_f64()
    }

    fn idle(&self) -> String {
        let mut table =
            Table::new(&["servers", "writer", "verb", "resource", "status", "a minute"]);
        let largest = self.largest().and_then(|one| Some((one.count, &one.steady.as_ref()?.idle)));
        for (servers, writes) in [(0, &self.bare)].into_iter().chain(largest) {
            for (kind, count) in tally(writes) {
                let a_minute = format!("{:.1}", self.a_minute(count));
                let status = kind.code.to_string();
                table.row([
                    servers.to_string(),
                    kind.writer,
                    kind.verb,
                    kind.resource,
                    status,
                    a_minute,
                ]);
            }
        }
        let seconds = self.idle_time.as_secs();
        format!(
            "## Idle\n\nEvery write in {seconds} s in which nobody asked for anything; Lease renewals are meant to be all.\n\n{table}"
        )
    }

    fn memory(&self) -> String {
        let mut headings = vec!["program".to_owned(), "before".to_owned()];
        headings.extend(self.scales.iter().map(|scale| format!("{} server(s)", scale.count)));
        headings.push("after".to_owned());
        headings.push("growth for a server".to_owned());
        let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
        let states = || {
            let between = self.scales.iter().map(|scale| &scale.system);
            [&self.empty].into_iter().chain(between).chain([&self.after])
        };
        for (name, _) in &self.empty.0 {
            let cell = |state: &SystemMemory| {
                state.of(name).map_or("-".into(), |bytes| format!("{:.1} MiB", mib(bytes)))
            };
            let growth =
                self.largest().and_then(|one| one.system.growth(&self.empty, name, one.count));
            let growth = growth.map_or("-".into(), |kib| format!("{kib:.1} KiB"));
            table.row([name.clone()].into_iter().chain(states().map(cell)).chain([growth]));
        }
        let guests: String =
            self.scales.iter().map(|scale| format!("\n{}", scale::guests(scale))).collect();
        format!(
            "## Memory\n\nProportional set size (PSS): a page that processes share is split evenly among them.\n\
             The daemon on the first node had all servers.\n\n{table}\nHost memory of a guest's QEMU, in MiB.\n\
             Beyond its RAM (a memfd) it has code that emulation translated, which KVM does without, the program\n\
             with its libraries, and the rest.\n{guests}"
        )
    }

    fn restart(&self) -> String {
        let mut table = Table::new(&[
            "guests that ran on",
            "killed → next process (kubelet), s",
            "process → adopted and ready, s",
        ]);
        if let Some(steady) = self.largest().and_then(|one| one.steady.as_ref()) {
            let one = steady.adoption;
            table.row([
                one.guests.to_string(),
                format!("{:.2}", one.restart),
                format!("{:.2}", one.adopt),
            ]);
        }
        format!(
            "## The daemon's death\n\nSIGKILL for the node-daemon that has every server. Every QEMU kept its process.\n\n{table}"
        )
    }

    fn times(&self) -> String {
        let mut lab = Table::new(&["part", "s"]);
        for (what, seconds) in &self.spans {
            lab.row([what.clone(), format!("{seconds:.1}")]);
        }
        lab.row([
            "in all".to_owned(),
            format!("{:.1}", self.spans.iter().map(|(_, s)| s).sum::<f64>()),
        ]);
        let mut builds = Table::new(&["artifact", "s", "MiB"]);
        for build in self.builds.iter().filter(|build| build.seconds > 0) {
            builds.row([
                build.name.clone(),
                build.seconds.to_string(),
                format!("{:.0}", mib(build.bytes)),
            ]);
        }
        format!(
            "## Times of the lab\n\n{lab}\nWhat is built once, as long as it took when it was put into this machine's\n\
             cache: several at once, with whatever Go's and cargo's own caches held then.\n\n{builds}"
        )
    }
}

fn networks(figures: &Value) -> String {
    let tables = networks::tables(figures);
    format!(
        "## Tenants' networks on a node\n\nIn network namespaces of its own, on this machine's kernel, without the lab.\n\n{tables}"
    )
}
