//! A cluster as the demo, the scenarios and the benchmarks see it.

pub mod install;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifact::tools::Tools;
use crate::command::output;
use crate::lab::Lab;

/// A running cluster: how to talk to it.
#[derive(Debug, Clone)]
pub struct Cluster {
    kubeconfig: PathBuf,
    kubectl: PathBuf,
    helm: PathBuf,
    lab: Option<Lab>,
}

impl Cluster {
    /// The cluster of a lab.
    pub fn of_lab(lab: &Lab, tools: &Tools) -> Self {
        Self {
            kubeconfig: lab.kubeconfig(),
            kubectl: tools.kubectl(),
            helm: tools.helm(),
            lab: Some(lab.clone()),
        }
    }

    /// A cluster that exists already: no lab, so no way into its nodes.
    pub fn existing(kubeconfig: PathBuf, tools: &Tools) -> Self {
        Self { kubeconfig, kubectl: tools.kubectl(), helm: tools.helm(), lab: None }
    }

    /// The file to export as KUBECONFIG.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The lab, where the cluster is one.
    pub fn lab(&self) -> Result<&Lab> {
        self.lab.as_ref().context("this needs a lab; an existing cluster was given (KUBECONFIG)")
    }

    /// kubectl, set up for this cluster; for anything [`Self::kubectl`] is too simple for.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Runs kubectl and returns what it printed.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        output(self.kubectl_command().args(args))
    }

    /// Runs helm and returns what it printed.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.helm);
        output(command.env("KUBECONFIG", &self.kubeconfig).args(args))
    }

    /// A client for the cluster's API.
    pub async fn client(&self) -> Result<kube::Client> {
        let config = kube::config::Kubeconfig::read_from(&self.kubeconfig)?;
        let options = kube::config::KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await?;
        Ok(kube::Client::try_from(config)?)
    }
}
