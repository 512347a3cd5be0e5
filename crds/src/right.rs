//! The run right: who may execute a server. The pure rules that operator and
//! node-daemon must read alike.
//!
//! A right is `(node, epoch, log)`. It ends only when its holder says so:
//! `runtime.releasedEpoch >= epoch`. Silence ends nothing.

use crate::ident::Epoch;
use crate::virtual_server::{Placement, Runtime, RuntimeState, VirtualServerStatus};

/// Whether the holder of a placement has given it up: its own word, for this
/// epoch or a later one, from the placed node.
#[must_use]
pub fn is_released(placement: &Placement, runtime: Option<&Runtime>) -> bool {
    runtime.is_some_and(|said| {
        said.node_name == placement.node_name
            && (said.released_epoch.is_some_and(|released| released >= placement.epoch)
                || (said.state == RuntimeState::Refused && said.epoch >= placement.epoch))
    })
}

/// Whether nobody holds the right to run the server: never placed, or released.
#[must_use]
pub fn is_free(status: Option<&VirtualServerStatus>) -> bool {
    match status.and_then(|status| status.placement.as_ref()) {
        None => true,
        Some(placement) => is_released(placement, status.and_then(|s| s.runtime.as_ref())),
    }
}

/// The epoch for the next placement: above every one that was ever placed or
/// reported.
#[must_use]
pub fn next_epoch(status: Option<&VirtualServerStatus>) -> Epoch {
    let placed = status.and_then(|s| s.placement.as_ref()).map(|p| p.epoch);
    let runtime = status.and_then(|s| s.runtime.as_ref());
    let reported = runtime.map(|r| r.epoch);
    let released = runtime.and_then(|r| r.released_epoch);
    [placed, reported, released].into_iter().flatten().max().map_or(Epoch::FIRST, Epoch::next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_class::ResourceType;
    use crate::server_image::Firmware;
    use crate::virtual_server::ResolvedClass;

    fn placement(node: &str, epoch: i64) -> Placement {
        Placement {
            node_name: node.to_owned().try_into().unwrap(),
            epoch: Epoch(epoch),
            wal_id: "00000000-0000-4000-8000-000000000001".to_owned().try_into().unwrap(),
            class: ResolvedClass {
                name: "b".into(),
                resource_type: ResourceType::BestEffort,
                vcpus: 1,
                memory_bytes: 1 << 28,
                cpu_floor_millis: 100,
            },
            firmware: Firmware::Bios,
            disks: vec![],
        }
    }

    fn runtime(node: &str, epoch: i64, state: RuntimeState, released: Option<i64>) -> Runtime {
        Runtime {
            node_name: node.to_owned().try_into().unwrap(),
            epoch: Epoch(epoch),
            state,
            reason: None,
            message: None,
            released_epoch: released.map(Epoch),
            boot_id: None,
            incarnation: None,
            bundle: None,
            first_boot_digest: None,
            started_at: None,
        }
    }

    #[test]
    fn only_the_holders_word_for_this_epoch_frees_a_right() {
        let placed = placement("a", 3);
        let cases = [
            (None, false),
            (Some(runtime("a", 3, RuntimeState::Running, None)), false),
            (Some(runtime("a", 3, RuntimeState::Stopped, None)), false),
            (Some(runtime("a", 3, RuntimeState::Released, Some(2))), false),
            (Some(runtime("b", 3, RuntimeState::Released, Some(3))), false),
            (Some(runtime("a", 2, RuntimeState::Refused, None)), false),
            (Some(runtime("a", 3, RuntimeState::Refused, None)), true),
            (Some(runtime("a", 3, RuntimeState::Released, Some(3))), true),
        ];
        for (said, free) in cases {
            assert_eq!(is_released(&placed, said.as_ref()), free, "{said:?}");
        }
    }

    #[test]
    fn the_next_epoch_is_above_every_one_that_was_seen() {
        assert_eq!(next_epoch(None), Epoch(1));
        let status = VirtualServerStatus {
            placement: Some(placement("a", 3)),
            runtime: Some(runtime("a", 5, RuntimeState::Released, Some(7))),
            ..VirtualServerStatus::default()
        };
        assert_eq!(next_epoch(Some(&status)), Epoch(8));
    }
}
