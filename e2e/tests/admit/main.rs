//! What a real API server admits and refuses: the rules in the CRDs, the
//! admission policies and the roles, each as a table.
//!
//! Nothing that is tried is stored: every attempt is a dry run, which passes
//! admission and validation all the same. Runs in the lab, or in the cluster
//! of `SUIGEN_KUBECONFIG` where both charts are installed.

mod api;
mod charts;
mod examples;
mod fixtures;
mod networks;
mod policies;
mod policies_table;
mod rights;
mod rights_table;
mod rules;
mod rules_network;
mod rules_table;
