//! Carries out operations, those of one kind together.

use std::collections::BTreeSet;

use rtnetlink::packet_route::RouteNetlinkMessage;

use super::requests::{action, requests};
use super::{Error, Failure, Kernel, Live, Subject};
use crate::network::diff::Op;
use crate::network::ident::LinkName;
use crate::network::netlink::requests::{BATCH, Request, Requests};
use crate::network::netlink::{self, links};
use crate::network::tap::{self, NewTap};
use crate::network::topology::LinkKind;
use crate::network::watch;

/// The ways to carry operations out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Rules,
    Tap,
    InHost,
    Create,
    Configure,
    Entries,
    Delete,
}

/// How an operation is carried out.
pub(super) const fn way(op: &Op) -> Way {
    match op {
        Op::Rules { .. } => Way::Rules,
        Op::SetOwner { .. } => Way::Tap,
        Op::CreateLink { link, .. } => match link.kind {
            LinkKind::Bridge(_) => Way::Create,
            LinkKind::Vxlan { .. } => Way::InHost,
            LinkKind::Tap { .. } => Way::Tap,
        },
        Op::Configure { .. } => Way::Configure,
        Op::DeleteLink { .. } => Way::Delete,
        Op::RemoveBridgeEntry { .. }
        | Op::SetBridgeEntry { .. }
        | Op::RemoveTunnel { .. }
        | Op::SetTunnel { .. }
        | Op::RemoveFlood { .. }
        | Op::AddFlood { .. } => Way::Entries,
    }
}

/// Operations that are being carried out.
pub(super) struct Work<'a, 'b> {
    kernel: &'a Kernel,
    live: &'a mut Live<'b>,
    pub failures: Vec<Failure>,
    /// Links that an operation failed for.
    broken: BTreeSet<LinkName>,
}

impl<'a, 'b> Work<'a, 'b> {
    pub const fn new(kernel: &'a Kernel, live: &'a mut Live<'b>) -> Self {
        Self { kernel, live, failures: Vec::new(), broken: BTreeSet::new() }
    }

    /// Carries out operations of one kind; tells whether to go on.
    pub async fn do_alike(&mut self, ops: &[Op]) -> Result<bool, watch::Error> {
        let ready: Vec<&Op> = ops.iter().filter(|op| self.is_ready(op)).collect();
        let Some(first) = ready.first() else { return Ok(true) };
        match way(first) {
            Way::Rules | Way::Tap => {
                for some in ready.chunks(BATCH) {
                    for op in some {
                        if let Err(error) = self.do_one(op).await {
                            self.fail(op, error);
                        }
                    }
                    self.live.refresh()?;
                    // Others may have their turn.
                    tokio::task::yield_now().await;
                }
            }
            Way::InHost => self.send(&self.kernel.host, &ready).await?,
            Way::Create | Way::Configure | Way::Entries | Way::Delete => {
                self.send(&self.kernel.tenants, &ready).await?;
            }
        }
        self.live.refresh()?;
        self.look_up(&ready).await;
        Ok(!self.failures.iter().any(|failure| failure.subject == Subject::Rules))
    }

    fn is_ready(&self, op: &Op) -> bool {
        let missing =
            |link: &LinkName| self.broken.contains(link) || self.live.cache.index(link).is_none();
        !op.needs().iter().any(missing)
    }

    fn fail(&mut self, op: &Op, error: Error) {
        tracing::warn!(?op, reason = error.reason(), %error, "operation failed");
        let subject = op.subject();
        if let Subject::Link(name) = &subject {
            self.broken.insert(name.clone());
        }
        self.failures.push(Failure { subject, error });
    }

    async fn do_one(&self, op: &Op) -> Result<(), Error> {
        let Kernel { nft, namespace, tenants, .. } = self.kernel;
        match op {
            Op::Rules { batch } => nft.apply(namespace, batch).await?,
            Op::SetOwner { name, owner } => tap::set_owner(namespace, name, *owner)?,
            Op::CreateLink { name, link } => {
                let LinkKind::Tap { owner } = link.kind else { return Ok(()) };
                let tap = NewTap::create(namespace, name, owner.unwrap_or(0))?;
                let marked: std::io::Result<()> =
                    tenants.send(&mut [links::mark(name)]).into_iter().collect();
                marked.map_err(|error| netlink::Error::new(format!("mark {name}"), error))?;
                // Kept only once it is marked, so that none is left without.
                tap.keep()?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends the requests of operations, as many at once as may be, and takes
    /// in what the kernel tells, which would be too much at the end.
    async fn send(&mut self, to: &Requests, ops: &[&Op]) -> Result<(), watch::Error> {
        let mut batch = Vec::new();
        let mut from = Vec::new();
        for op in ops {
            let requests = requests(self.kernel, op, self.live.cache);
            if batch.len() + requests.len() > BATCH {
                self.send_batch(to, &mut batch, &mut from)?;
                // Others may have their turn.
                tokio::task::yield_now().await;
            }
            from.extend(requests.iter().map(|_| *op));
            batch.extend(requests);
        }
        self.send_batch(to, &mut batch, &mut from)
    }

    fn send_batch(
        &mut self,
        to: &Requests,
        batch: &mut Vec<Request>,
        from: &mut Vec<&Op>,
    ) -> Result<(), watch::Error> {
        let answers = to.send(batch);
        batch.clear();
        let mut failed = None;
        for (op, answer) in from.drain(..).zip(answers) {
            if let Err(error) = answer
                && !failed.is_some_and(|before| std::ptr::eq(before, op))
            {
                // What else was sent for it depends on what failed.
                failed = Some(op);
                self.fail(op, netlink::Error::new(action(op), error).into());
            }
        }
        self.live.refresh()
    }

    /// New links that nothing was told of are asked for: the kernel says
    /// nothing when a tap, which is off yet, is given its mark, and
    /// notifications may be lost. All that it said before was taken in.
    async fn look_up(&mut self, ops: &[&Op]) {
        for op in ops {
            if let Op::CreateLink { name, .. } = op
                && !self.broken.contains(name)
                && self.live.cache.index(name).is_none()
                && let Ok(link) = links::get(&self.kernel.listing, name).await
            {
                self.live.cache.take(&RouteNetlinkMessage::NewLink(link), self.live.dirty);
            }
        }
    }
}
