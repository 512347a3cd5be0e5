//! The node's Hypervisor: made once, then kept true. What the node offers to
//! servers follows from it.

use std::sync::Arc;
use std::time::Duration;

use suigen_crds::hypervisor::{
    Feature, Hypervisor, HypervisorSpec, Reserved, Scheduling, SoftwareEmulation, Underlay,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::api::read::retry;
use crate::api::watch::Seen;
use crate::api::{ReadError, WriteError};
use crate::args::{Args, InitialEmulation};
use crate::host::qualification::{Findings, qualify};
use crate::network::feed::{Ability, trial};
use crate::report::hypervisor::{About, offer, status};
use crate::report::runtime::explain;
use crate::vm::node::{Node, Offer};

/// How often the node is looked at anew though nothing changed.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How long the first report waits for what is found out about networks.
const NETWORKS: Duration = Duration::from_secs(15);
/// Changes that come within this time are written as one.
const TOGETHER: Duration = Duration::from_secs(3);

/// Why the Hypervisor does not say what is.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("read the Hypervisor")]
    Read(#[from] ReadError),
    #[error("write the Hypervisor")]
    Write(#[from] WriteError),
    #[error(
        "the CRDs are older than this node-daemon: upgrade chart suigen-crds first; nothing is written until then"
    )]
    SchemaTooOld,
    #[error("look at the node: {0}")]
    Look(String),
}

/// Keeps the object and the offer.
pub async fn keep(
    args: Args,
    node: Arc<Node>,
    offer: watch::Sender<Option<Arc<Offer>>>,
    mut ability: watch::Receiver<Option<Ability>>,
) {
    // Else what is not known yet would be reported as missing.
    let _ = tokio::time::timeout(NETWORKS, ability.wait_for(Option::is_some)).await;
    let changed = Arc::new(Notify::new());
    let seen = {
        let changed = changed.clone();
        move |event: Seen<Hypervisor>| {
            // One that was deleted is made anew; deleting it releases nothing.
            if matches!(event, Seen::Object(_) | Seen::Left { .. }) {
                changed.notify_one();
            }
        }
    };
    let fields = format!("metadata.name={}", node.api.me.node);
    let watching = node.api.watch::<Hypervisor>(&fields, node.stop.clone(), seen);
    let mut keeper =
        Keeper { args, node: node.clone(), offer, ability: ability.clone(), findings: None };
    let keeping = async {
        let mut failures = 0;
        loop {
            let pause = match keeper.bring_up_to_date().await {
                Ok(()) => {
                    failures = 0;
                    LOOK_AGAIN
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = %explain(&error), "hypervisor not up to date");
                    retry(failures)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = changed.notified() => {}
                () = node.ledger.changed() => tokio::time::sleep(TOGETHER).await,
                Ok(()) = ability.changed() => {}
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = keeping => {}
    }
}

struct Keeper {
    args: Args,
    node: Arc<Node>,
    offer: watch::Sender<Option<Arc<Offer>>>,
    ability: watch::Receiver<Option<Ability>>,
    /// What was found, for which setting and networks, and when.
    findings: Option<(SoftwareEmulation, Vec<Feature>, Instant, Findings)>,
}

impl Keeper {
    async fn bring_up_to_date(&mut self) -> Result<(), Error> {
        if !self.node.api.may_write() {
            if !self.node.api.schema_is_new_enough().await? {
                return Err(Error::SchemaTooOld);
            }
            self.node.api.allow_writes();
        }
        let Some(hypervisor) = self.node.api.read_hypervisor().await? else {
            self.node.api.create_hypervisor(self.initial_spec()).await?;
            // The watch tells when it is there.
            return Ok(());
        };
        let ability = self.ability.borrow().clone().unwrap_or_else(|| Ability {
            underlay: None,
            features: trial::all_missing("nothing yet, it takes long"),
        });
        let findings = self.look(hypervisor.spec.software_emulation, ability.features).await?;
        let about = self.about(ability.underlay);
        let offered = Arc::new(offer(&about, &findings, &hypervisor.spec.reserved));
        self.offer.send_if_modified(|present| {
            let differs = present.as_ref() != Some(&offered);
            *present = Some(offered);
            differs
        });
        let (servers, orphans) = self.node.ledger.sum();
        self.node.metrics.servers.set(i64::try_from(servers).unwrap_or(i64::MAX));
        self.node.metrics.orphans.set(i64::try_from(orphans.len()).unwrap_or(i64::MAX));
        let now = jiff::Timestamp::now();
        let wanted = status(&about, &findings, &hypervisor, (servers, orphans), now);
        if let Some(wanted) = wanted {
            self.node.api.write_hypervisor(&hypervisor, &wanted).await?;
            tracing::info!(acceleration = ?wanted.acceleration, servers, "hypervisor reported");
        }
        Ok(())
    }

    /// Looking includes running instructions, so it is done only when the answer
    /// may be another.
    async fn look(
        &mut self,
        allowed: SoftwareEmulation,
        networks: Vec<Feature>,
    ) -> Result<Findings, Error> {
        if let Some((for_, with, at, findings)) = &self.findings
            && *for_ == allowed
            && *with == networks
            && at.elapsed() < LOOK_AGAIN
        {
            return Ok(findings.clone());
        }
        let paths = self.node.paths.clone();
        let features = networks.clone();
        let findings = tokio::task::spawn_blocking(move || qualify(&paths, allowed, &features))
            .await
            .map_err(|error| Error::Look(error.to_string()))?;
        self.findings = Some((allowed, networks, Instant::now(), findings.clone()));
        Ok(findings)
    }

    fn initial_spec(&self) -> HypervisorSpec {
        HypervisorSpec {
            scheduling: Scheduling::Enabled,
            software_emulation: match self.args.initial_software_emulation {
                InitialEmulation::Deny => SoftwareEmulation::Deny,
                InitialEmulation::Allow => SoftwareEmulation::Allow,
            },
            reserved: Reserved {
                memory: self.args.initial_reserved_memory.clone(),
                cpu_millis: self.args.initial_reserved_cpu_millis,
            },
        }
    }

    fn about(&self, underlay: Option<Underlay>) -> About {
        let address =
            std::net::SocketAddr::new(self.args.node_address, self.args.console_address.port());
        About {
            endpoint: address.to_string(),
            boot: self.node.boot.clone(),
            log: self.node.api.me.log.clone(),
            bundles: self.node.bundles.get().cloned().unwrap_or_default(),
            underlay,
        }
    }
}
