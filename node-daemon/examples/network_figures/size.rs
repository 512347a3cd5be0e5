//! What grows with the number of networks and ports.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use suigen_node_daemon::network::desired::Network;

use crate::node::{Node, network, remote};
use crate::percentile;

/// How many networks are added one by one at each size.
const SAMPLES: u32 = 20;
/// How often an address is pointed at another node at each size: what a change
/// costs must not grow with what does not change.
const MOVES: u32 = 200;

/// The cost of a network with one port here and one elsewhere, at sizes.
pub fn create(sizes: &[u32]) -> Result<Vec<Value>> {
    let node = Node::start(1)?.with_uplink()?;
    let mut networks: Vec<Network> = Vec::new();
    let mut rows = Vec::new();
    for &size in sizes {
        let (before, held) = (kernel_kilobytes()?, networks.len());
        let began = Instant::now();
        while networks.len() < usize::try_from(size)? {
            networks.push(one(networks.len())?);
        }
        let added = u32::try_from(networks.len() - held)?;
        node.host(networks.clone())?;
        let (bulk, after) = (began.elapsed(), kernel_kilobytes()?);
        let mut singles = Vec::new();
        for _ in 0..SAMPLES {
            networks.push(one(networks.len())?);
            let desired = node.admit(networks.clone())?;
            let began = Instant::now();
            node.reconcile(&desired)?;
            singles.push(began.elapsed().as_secs_f64() * 1e3);
        }
        networks.truncate(usize::try_from(size)?);
        node.host(networks.clone())?;
        let moves = re_point(&node, &networks, MOVES)?;
        rows.push(json!({
            "networks": size,
            "one_more_p50_ms": percentile(&mut singles, 50)?,
            "one_more_p99_ms": percentile(&mut singles, 99)?,
            "together_ms_each": bulk.as_secs_f64() * 1e3 / f64::from(added.max(1)),
            "kernel_kb_each": (after - before) / f64::from(added.max(1)),
            "re_point_p50_us": moves.0,
            "re_point_p99_us": moves.1,
        }));
    }
    Ok(rows)
}

fn one(number: usize) -> Result<Network> {
    network(u32::try_from(number)?, 10, vec![remote(11, 2)])
}

/// What the kernel has taken for itself, in KiB: slabs, per-CPU data and
/// mapped memory (proc_meminfo(5)). Others on the machine take, too.
fn kernel_kilobytes() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let mut sum = 0.0;
    for field in ["Slab:", "Percpu:", "VmallocUsed:"] {
        let line = text.lines().find(|line| line.starts_with(field)).context(field)?;
        let number = line.split_whitespace().nth(1).context(field)?;
        sum += number.parse::<f64>()?;
    }
    Ok(sum)
}

/// Points an address at one node and the other, with 100 networks on the node:
/// the median and the 99th percentile of a whole reconcile, in µs.
pub fn moves(count: u32) -> Result<(f64, f64)> {
    let node = Node::start(1)?.with_uplink()?;
    re_point(&node, &(0..100).map(one).collect::<Result<Vec<_>>>()?, count)
}

/// The same with these networks on the node, the first of which has the
/// address.
fn re_point(node: &Node, networks: &[Network], count: u32) -> Result<(f64, f64)> {
    let at = |vtep| -> Result<_> {
        let mut networks = networks.to_vec();
        networks[0].remotes = vec![remote(11, 2), remote(12, 3), remote(13, vtep)];
        node.admit(networks)
    };
    let places = [at(2)?, at(3)?];
    node.reconcile(&places[0])?;
    let mut times = Vec::new();
    for _ in 0..count.div_ceil(2) {
        for place in [&places[1], &places[0]] {
            let began = Instant::now();
            node.reconcile(place)?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok((percentile(&mut times, 50)?, percentile(&mut times, 99)?))
}

/// Builds a network with remote ports on 200 nodes from nothing, in s.
pub fn rebuild(count: u32) -> Result<f64> {
    let node = Node::start(1)?.with_uplink()?;
    let place = |number: u32| u8::try_from(2 + number % 200);
    let remotes: std::result::Result<Vec<_>, _> =
        (0..count).map(|number| place(number).map(|vtep| remote(100 + number, vtep))).collect();
    let desired = node.admit(vec![network(0, 10, remotes?)?])?;
    let began = Instant::now();
    node.reconcile(&desired)?;
    Ok(began.elapsed().as_secs_f64())
}
