//! Frames from a guest on one node to a guest on another: with all our rules,
//! and by a bare bridge and VXLAN in the same run.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use suigen_node_daemon::network::ident::LinkName;
use suigen_node_daemon::network::netlink::netns::Namespace;
use suigen_node_daemon::network::tap::{self, Framing};

use crate::node::{Node, mac, network, pair, remote, shell};
use crate::percentile;

/// For how long one direction is filled.
const SPELL: Duration = Duration::from_secs(2);
/// Round trips of one frame.
const TRIPS: usize = 2_000;
/// A frame that has not come after so long does not come.
const LOST: Duration = Duration::from_secs(2);
/// The size of a frame, in bytes.
const FRAME: usize = 1_400;

/// Two guests' taps.
struct Path {
    from: File,
    to: File,
}

/// Rows of one round each, and the medians of throughput and latency of ours
/// as ratios to the bare ones.
pub fn measure(rounds: u32) -> Result<(Vec<Value>, (f64, f64))> {
    let nodes = pair()?;
    let mut ours = with_rules(&nodes)?;
    let mut bare = without_rules(&nodes)?;
    let (mut rows, mut throughputs, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        let (our_rate, bare_rate) = (rate(&mut ours)?, rate(&mut bare)?);
        let (our_trip, bare_trip) = (round_trip(&mut ours)?, round_trip(&mut bare)?);
        throughputs.push(our_rate / bare_rate);
        latencies.push(our_trip / bare_trip);
        rows.push(json!({
            "round": round,
            "mbit_s": our_rate, "bare_mbit_s": bare_rate,
            "round_trip_p50_us": our_trip, "bare_round_trip_p50_us": bare_trip,
        }));
    }
    Ok((rows, (percentile(&mut throughputs, 50)?, percentile(&mut latencies, 50)?)))
}

fn with_rules([a, b]: &[Node; 2]) -> Result<Path> {
    let (on_a, on_b) = (network(1, 10, vec![remote(11, 2)])?, network(1, 11, vec![remote(10, 1)])?);
    let names = [&on_a, &on_b].map(|network| LinkName::tap(&network.ports[0].uid));
    a.host(vec![on_a])?;
    b.host(vec![on_b])?;
    path((a.plane.namespace(), &names[0]), (b.plane.namespace(), &names[1]))
}

fn without_rules([a, b]: &[Node; 2]) -> Result<Path> {
    for (node, other) in [(a, b), (b, a)] {
        let (own, other) = (node.underlay.address, other.underlay.address);
        node.shell(&format!(
            "ip link add bridge type bridge; ip link set bridge mtu 1500 up
             ip link add vx type vxlan id 77 dstport 4790 local {own} remote {other}
             ip tuntap add bare mode tap vnet_hdr
             for port in vx bare; do ip link set $port mtu 1500 master bridge up; done"
        ))?;
    }
    let name = LinkName::observed("bare".to_owned());
    path((&a.host, &name), (&b.host, &name))
}

fn path(from: (&Namespace, &LinkName), to: (&Namespace, &LinkName)) -> Result<Path> {
    let open = |(namespace, name): (&Namespace, &LinkName)| -> Result<File> {
        let tap = tap::attach(namespace, name, Framing::Plain)?;
        let until = Instant::now() + Duration::from_secs(60);
        while !shell(namespace, &format!("bridge link show dev {name}"))?.contains("forwarding") {
            ensure!(Instant::now() < until, "{name} does not forward");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(File::from(tap))
    };
    Ok(Path { from: open(from)?, to: open(to)? })
}

/// UDP from one guest to the other, 10 and 11.
fn frame(from: u8, to: u8, size: usize) -> Result<Vec<u8>> {
    let mut frame = [mac(to.into()).bytes(), mac(from.into()).bytes()].concat();
    let total = u16::try_from(size - 14)?.to_be_bytes();
    let datagram = u16::try_from(size - 34)?.to_be_bytes();
    frame.extend([0x08, 0x00, 0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([10, 0, 0, from, 10, 0, 0, to, 0, 7, 0, 7, datagram[0], datagram[1], 0, 0]);
    let sum = frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = sum.sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16))?;
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    frame.resize(size, 0);
    Ok(frame)
}

/// The next frame of a size; none if none is there.
fn take(tap: &mut File, size: usize) -> Result<bool> {
    let mut buffer = [0; 2_048];
    match tap.read(&mut buffer) {
        Ok(length) => Ok(length == size),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            std::thread::yield_now();
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes all that is there or on its way.
fn drain(tap: &mut File) -> Result<()> {
    let (mut buffer, mut quiet) = ([0; 2_048], 0);
    while quiet < 3 {
        match tap.read(&mut buffer) {
            Ok(_) => quiet = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                quiet += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// What arrives of as much as can be sent, in Mbit/s.
fn rate(path: &mut Path) -> Result<f64> {
    let Path { from, to } = path;
    let (sent, done) = (frame(10, 11, FRAME)?, AtomicBool::new(false));
    drain(to)?;
    std::thread::scope(|scope| {
        let receiver = scope.spawn(|| -> Result<(usize, Duration)> {
            let (began, mut count) = (Instant::now(), 0);
            while !done.load(Ordering::Relaxed) {
                count += usize::from(take(to, FRAME)?);
            }
            Ok((count, began.elapsed()))
        });
        let until = Instant::now() + SPELL;
        let mut failed = None;
        while failed.is_none() && Instant::now() < until {
            failed = from.write_all(&sent).err();
        }
        done.store(true, Ordering::Relaxed);
        let Ok(received) = receiver.join() else { bail!("the receiver failed") };
        if let Some(error) = failed {
            return Err(error.into());
        }
        let (count, took) = received?;
        ensure!(count > 0, "nothing arrived");
        let bits = u32::try_from(count * FRAME * 8 / 1_000)?;
        Ok(f64::from(bits) / 1e3 / took.as_secs_f64())
    })
}

/// The median of the time from a frame to its answer, in µs.
fn round_trip(path: &mut Path) -> Result<f64> {
    const SIZE: usize = 100;
    let Path { from, to } = path;
    let (ask, answer) = (frame(10, 11, SIZE)?, frame(11, 10, SIZE)?);
    // A queue that the flood has filled would take no more.
    drain(to)?;
    let arrives = |tap: &mut File| -> Result<()> {
        let until = Instant::now() + LOST;
        while !take(tap, SIZE)? {
            ensure!(Instant::now() < until, "a frame was lost");
        }
        Ok(())
    };
    let mut times = Vec::new();
    for _ in 0..TRIPS {
        let began = Instant::now();
        from.write_all(&ask)?;
        arrives(to)?;
        to.write_all(&answer)?;
        arrives(from)?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    percentile(&mut times, 50)
}
