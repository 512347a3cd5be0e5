//! What is to be done and said about a server, and in which order.

use std::sync::Arc;
use std::time::Duration;

use suigen_crds::address_claim::{AddressClaim, AddressClaimSpec};
use suigen_crds::condition::Status;
use suigen_crds::disk::Attachment;
use suigen_crds::ident::NodeName;
use suigen_crds::network_interface::PlacedInterface;
use suigen_crds::virtual_server::Placement;

use super::disks::NewDisk;
use super::interfaces::FREED_BY_OTHERS;
use super::interfaces::wiring::{NewHost, PortStep, Wiring};
use super::state::{State, Why};
use super::words::Words;
use crate::finalizer::Finalizer;
use crate::outcome::Outcome;
use crate::placement::Amounts;

/// Everything that is to be done and said, in this order.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether our finalizer is to be added first.
    pub finalizer: Finalizer,
    /// Disks to be made.
    pub create: Vec<NewDisk>,
    /// Claims to be deleted: those that the server never uses, or all of them
    /// when it goes.
    pub drop_claims: Vec<Arc<AddressClaim>>,
    /// The run right to be given out.
    pub place: Option<NewRight>,
    /// Disks to be given to the server, by name.
    pub attach: Vec<Attach>,
    /// Ports to be made or bound.
    pub wiring: Wiring,
    /// Ports, by name, to be deleted.
    pub delete_ports: Vec<String>,
    /// Disks, by name, to be taken from the server that gave up its right.
    pub detach: Vec<String>,
    /// Disks, by name, that were never made where the server was refused, and
    /// so need not stay there.
    pub unpin: Vec<String>,
    /// Disks, by name, to be deleted with the server.
    pub delete: Vec<String>,
    /// Where the server stands.
    pub state: State,
    /// What is to be said.
    pub words: Words,
}

/// A run right, with all that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRight {
    /// The right itself.
    pub placement: Placement,
    /// The server's interfaces, written together with it.
    pub interfaces: Vec<PlacedInterface>,
    /// What must be claimed before either is written.
    pub claims: Vec<AddressClaimSpec>,
    /// The room that it takes.
    pub amounts: Amounts,
}

/// One write. The order in which [`Plan::steps`] gives them is the order in
/// which they are made, and that order is what makes every cut harmless.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Adds the finalizer.
    Hold,
    /// Makes a disk.
    MakeDisk(&'a NewDisk),
    /// Deletes a claim that the server never uses.
    DropClaim(&'a AddressClaim),
    /// Claims an address.
    Claim(&'a AddressClaimSpec),
    /// Gives out the run right, with the interfaces.
    Place(&'a NewRight),
    /// Gives a disk to the server.
    Attach(&'a Attach),
    /// Notes a node on the segment of a network.
    Host(&'a NewHost),
    /// Makes or binds a port.
    Port(&'a PortStep),
    /// Deletes a port.
    DeletePort(&'a str),
    /// Takes a disk from the server.
    Detach(&'a str),
    /// Sets a disk free of its node.
    Unpin(&'a str),
    /// Deletes a disk.
    DeleteDisk(&'a str),
    /// Makes sure that no port is left.
    NoPortLeft,
    /// Gives an address back, because the server goes.
    FreeClaim(&'a AddressClaim),
    /// Lifts the finalizer.
    LetGo,
}

impl Plan {
    /// Everything that is to be written, in order.
    pub fn steps(&self) -> Vec<Step<'_>> {
        let goes = self.finalizer == Finalizer::Lift;
        let mut steps = Vec::new();
        steps.extend((self.finalizer == Finalizer::Add).then_some(Step::Hold));
        steps.extend(self.create.iter().map(Step::MakeDisk));
        let drop = self.drop_claims.iter().map(|claim| &**claim);
        steps.extend(drop.clone().filter(|_| !goes).map(Step::DropClaim));
        if let Some(right) = &self.place {
            steps.extend(right.claims.iter().map(Step::Claim));
            steps.push(Step::Place(right));
        }
        steps.extend(self.attach.iter().map(Step::Attach));
        steps.extend(self.wiring.hosts.iter().map(Step::Host));
        steps.extend(self.wiring.ports.iter().map(Step::Port));
        steps.extend(self.delete_ports.iter().map(|name| Step::DeletePort(name)));
        steps.extend(self.detach.iter().map(|name| Step::Detach(name)));
        steps.extend(self.unpin.iter().map(|name| Step::Unpin(name)));
        steps.extend(self.delete.iter().map(|name| Step::DeleteDisk(name)));
        steps.extend((goes && !self.drop_claims.is_empty()).then_some(Step::NoPortLeft));
        steps.extend(drop.filter(|_| goes).map(Step::FreeClaim));
        steps.extend(goes.then_some(Step::LetGo));
        steps
    }

    /// Whether it waits for room on some hypervisor.
    pub const fn waits_for_room(&self) -> bool {
        matches!(self.state, State::Unplaced(Why::NoRoom { .. }))
    }

    /// Whether it waits for something that does not come by itself.
    pub const fn waits_for_somebody(&self) -> bool {
        match &self.state {
            State::Unplaced(Why::Waits(problem)) => !problem.passing,
            State::Unplaced(Why::NoRoom { .. }) => true,
            _ => false,
        }
    }

    /// Whether something about a port of the placed server is more than a step
    /// that is under way.
    pub fn a_port_is_in_trouble(&self) -> bool {
        let said = self.words.findings.iter().find(|finding| finding.type_ == "InterfacesReady");
        matches!(self.state, State::Held(_))
            && said.is_some_and(|finding| {
                finding.status == Status::False && finding.reason != "BindingPorts"
            })
    }

    /// Whether a port of the placed server waits for what others have.
    fn waits_for_port(&self) -> bool {
        let said = self.words.findings.iter().find(|finding| finding.type_ == "InterfacesReady");
        said.is_some_and(|finding| FREED_BY_OTHERS.contains(&finding.reason))
    }

    /// Whether nothing is left to be said: the object goes, or is not seen
    /// as it is.
    pub const fn is_over(&self) -> bool {
        matches!(self.finalizer, Finalizer::Lift)
            || matches!(self.state, State::Unplaced(Why::Behind) | State::Clearing)
    }

    /// When to look again though nothing wakes it.
    pub fn next(&self) -> Outcome {
        let (reason, seconds) = match &self.state {
            State::Unplaced(Why::Waits(problem)) if FREED_BY_OTHERS.contains(&problem.reason) => {
                ("FreedByOthers", 30)
            }
            State::Held(_) if self.waits_for_port() => ("FreedByOthers", 30),
            State::Unplaced(Why::Behind) => ("StoreIsBehind", 1),
            State::Unplaced(Why::NoRoom { only_refused: true, .. }) => ("RefusedLately", 5),
            State::Unplaced(Why::Blocked(_)) | State::CrdTerminating => ("PersonMustAct", 60),
            State::Unplaced(Why::PoweredOff | Why::Waits(_) | Why::NoRoom { .. })
            | State::Releasing(_)
            | State::Unplugging(_)
            | State::Clearing
            | State::Held(_)
            | State::Placing(_) => return Outcome::Done,
        };
        Outcome::Wait { reason, after: Duration::from_secs(seconds) }
    }
}

/// A disk to be given to the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// The disk's name.
    pub disk: String,
    /// The hypervisor that keeps it from now on.
    pub node: NodeName,
    /// What is written.
    pub attachment: Attachment,
}
