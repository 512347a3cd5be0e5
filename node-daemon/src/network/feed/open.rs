//! Opens the data plane, again and again until this node can have one, and
//! says what the node can do.

use std::time::Duration;

use suigen_crds::hypervisor::{self, FEATURE_VXLAN, Feature, FeatureState};
use suigen_crds::net_ident::Address;
use tokio::time::Instant;

use super::drive::Config;
use super::{Ability, trial, underlay};
use crate::network::DataPlane;
use crate::network::desired::Underlay;
use crate::report::runtime::{Trouble, explain};

/// How often what is missing is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How often the underlay is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// The data plane and the end of its tunnels.
#[derive(Debug, Clone)]
pub(super) struct Opened {
    pub plane: DataPlane,
    pub underlay: Underlay,
}

/// Opens it.
#[derive(Debug)]
pub(super) struct Opener {
    config: Config,
    opened: Result<Opened, Trouble>,
    ability: Option<Ability>,
    next: Instant,
}

impl Opener {
    pub fn new(config: Config) -> Self {
        let trouble = Trouble::new("NetworksNotReady", "the data plane is not open yet");
        Self { config, opened: Err(trouble), ability: None, next: Instant::now() }
    }

    /// What there is.
    pub const fn opened(&self) -> &Result<Opened, Trouble> {
        &self.opened
    }

    /// When to call [`Self::open`] again.
    pub const fn next(&self) -> Instant {
        self.next
    }

    /// The data plane ended by itself.
    pub fn lose(&mut self, trouble: Trouble) {
        tracing::error!(reason = trouble.reason, message = trouble.message, "the data plane ended");
        self.opened = Err(trouble);
        self.next = Instant::now() + RETRY;
    }

    /// Opens what is not open, when it is time to; what the node can do.
    pub async fn open(&mut self) -> Option<Ability> {
        if Instant::now() < self.next {
            return self.ability.clone();
        }
        let underlay = underlay::find(self.config.address, self.config.port).await;
        let underlay = underlay.map_err(|error| Trouble::new(error.reason(), explain(&error)));
        let plane = match &self.opened {
            Ok(opened) => Ok(opened.plane.clone()),
            Err(_) => self.open_plane().await,
        };
        let features = self.features(&plane, &underlay).await;
        let missing = features.iter().any(|feature| feature.state != FeatureState::Present);
        self.next = Instant::now() + if missing { RETRY } else { LOOK_AGAIN };
        let ability = Ability { underlay: underlay.as_ref().ok().map(reported), features };
        if self.ability.as_ref() != Some(&ability) {
            let Ability { underlay, features } = &ability;
            let lacks: Vec<String> = features
                .iter()
                .filter(|feature| feature.state != FeatureState::Present)
                .map(|feature| format!("{}: {}", feature.name, feature.needed_for))
                .collect();
            tracing::info!(?underlay, ?lacks, "looked at what networks need");
        }
        self.opened = match (plane, underlay, &self.opened) {
            (Ok(plane), Ok(underlay), _) => Ok(Opened { plane, underlay }),
            // An address that went away for a while changes nothing of what is
            // set up.
            (Ok(plane), Err(_), Ok(before)) => Ok(Opened { plane, underlay: before.underlay }),
            (Ok(_), Err(trouble), Err(_)) | (Err(trouble), _, _) => Err(trouble),
        };
        self.ability = Some(ability);
        self.ability.clone()
    }

    async fn open_plane(&self) -> Result<DataPlane, Trouble> {
        let opened = DataPlane::open(&self.config.plane).await;
        opened.map_err(|error| Trouble::new(error.reason(), explain(&error)))
    }

    /// Tried once where all is there; anew while something is missing.
    async fn features(
        &self,
        plane: &Result<DataPlane, Trouble>,
        underlay: &Result<Underlay, Trouble>,
    ) -> Vec<Feature> {
        let present = |features: &[Feature]| {
            features.iter().all(|feature| feature.state == FeatureState::Present)
        };
        let before = self.ability.as_ref().map(|ability| &ability.features);
        let mut features = match before {
            Some(features) if present(features) => features.clone(),
            _ => trial::features(&self.config.plane.nft).await,
        };
        if let Err(trouble) = underlay
            && let Some(vxlan) = features.iter_mut().find(|f| f.name == FEATURE_VXLAN)
            && vxlan.state == FeatureState::Present
        {
            *vxlan = trial::feature(FEATURE_VXLAN, Some(trouble.message.clone()));
        }
        match plane {
            Err(trouble) if present(&features) => trial::all_missing(&trouble.message),
            Ok(_) | Err(_) => features,
        }
    }
}

fn reported(underlay: &Underlay) -> hypervisor::Underlay {
    hypervisor::Underlay { address: Address(underlay.address), mtu: underlay.mtu.into() }
}
