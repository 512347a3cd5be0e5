//! This node's Hypervisor object.

use kube::api::PostParams;
use serde_json::json;
use suigen_crds::condition::Condition;
use suigen_crds::hypervisor::{Hypervisor, HypervisorSpec, HypervisorStatus};

use super::{Api, FIELD_MANAGER, ReadError, WriteError};

impl Api {
    /// Reads this node's Hypervisor.
    ///
    /// # Errors
    /// When nobody can tell.
    pub async fn read_hypervisor(&self) -> Result<Option<Hypervisor>, ReadError> {
        self.read(&self.cluster(), self.me.node.as_str()).await
    }

    /// Makes this node's Hypervisor. The spec is the provider's from then on.
    ///
    /// # Errors
    /// When it is not made; one that exists is [`WriteError::Gone`] and to be read again.
    pub async fn create_hypervisor(&self, spec: HypervisorSpec) -> Result<(), WriteError> {
        let hypervisor = Hypervisor::new(self.me.node.as_str(), spec);
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        let api: kube::Api<Hypervisor> = self.cluster();
        self.counted("Hypervisor", api.create(&params, &hypervisor)).await
    }

    /// Writes this daemon's part of the Hypervisor's status: all but the
    /// conditions of others.
    ///
    /// # Errors
    /// When it is not, or may not be, written.
    pub async fn write_hypervisor(
        &self,
        meant: &Hypervisor,
        status: &HypervisorStatus,
    ) -> Result<(), WriteError> {
        self.apply_status::<Hypervisor>(&meant.metadata, json!(status)).await
    }
}

/// The conditions of a Hypervisor that are this daemon's.
#[must_use]
pub fn own_conditions(conditions: &[Condition]) -> Vec<Condition> {
    conditions.iter().filter(|condition| condition.type_ == "Qualified").cloned().collect()
}
