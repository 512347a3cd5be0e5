//! The run right, model-checked: operator, store, nodes and their troubles in
//! every order. What the code decides, the code is asked ([`real`]); what is
//! designed and not built yet (fences, a restored store) is a rule of the model.
//! `docs/run-right-model.md` tells what is in it and how to look further.

// What fails here is the test.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::cast_possible_truncation)]

mod guards;
mod model;
mod node;
mod operator;
mod real;
mod state;

use std::time::Instant;

use guards::{Guard, Guards};
use model::{MOVES, ONE_RUNNER, RESTORE_SETTLED, RunRight, Scope};
use state::Left;
use stateright::{Checker, Model};

/// Nothing that goes wrong but crashes, of which there are always as many as you like.
const LIFE: Scope = Scope {
    nodes: 2,
    operators: 1,
    epochs: 2,
    left: Left { power_offs: 0, log_losses: 0, deletions: 0, restores: 0 },
};
const TWO_OPERATORS: Scope = Scope { operators: 2, ..LIFE };
const THREE_NODES: Scope = Scope { nodes: 3, ..LIFE };
const POWER: Scope = Scope { left: Left { power_offs: 1, ..LIFE.left }, ..LIFE };
const POWER_TWICE: Scope = Scope { left: Left { power_offs: 2, ..LIFE.left }, ..LIFE };
const LOG_LOST: Scope = Scope { left: Left { log_losses: 1, ..LIFE.left }, ..LIFE };
const POWER_AND_LOG: Scope = Scope { left: Left { log_losses: 1, ..POWER.left }, ..LIFE };
const DELETED: Scope = Scope { left: Left { deletions: 1, log_losses: 1, ..LIFE.left }, ..LIFE };
const RESTORED: Scope = Scope { left: Left { restores: 1, ..LIFE.left }, ..LIFE };

/// Looks at every state of a scope. The names of the properties that were
/// found: `MOVES` is to be, the others are not.
fn explore(name: &str, scope: Scope, off: &[Guard]) -> Vec<&'static str> {
    let began = Instant::now();
    let guards = Guards::ALL.without(off);
    let checker = RunRight { scope, guards }
        .checker()
        .threads(1)
        .finish_when(stateright::HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}, {guards:?}: {} states, {} deep, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    for (found, path) in checker.discoveries() {
        if found != MOVES {
            let acts = path.into_vec().into_iter().filter_map(|(_, act)| act);
            println!("  {found}: {:?}", acts.collect::<Vec<_>>());
        }
    }
    checker.discoveries().into_keys().collect()
}

#[test]
fn fault_no_order_of_troubles_runs_a_server_twice() {
    for (name, scope) in [
        ("life", LIFE),
        ("two operators", TWO_OPERATORS),
        ("three nodes", THREE_NODES),
        ("a node switched off", POWER),
        ("a log lost", LOG_LOST),
        ("deleted, a log lost", DELETED),
        ("the store restored", RESTORED),
    ] {
        assert_eq!(explore(name, scope, &[]), [MOVES], "{name}");
    }
}

/// More than every change has time for: `cargo test --release … -- --ignored`.
#[test]
#[ignore = "minutes, and gigabytes"]
fn fault_no_order_of_more_troubles_runs_a_server_twice() {
    let more = Left { power_offs: 1, log_losses: 1, deletions: 1, restores: 1 };
    for (name, scope) in [
        ("a node switched off twice", POWER_TWICE),
        ("a node switched off, a log lost", POWER_AND_LOG),
        ("two operators, a node switched off", Scope { operators: 2, ..POWER }),
        ("everything once", Scope { left: more, ..LIFE }),
    ] {
        assert_eq!(explore(name, scope, &[]), [MOVES], "{name}");
    }
}

/// A guard is worth having if something goes wrong without it.
fn needed(scope: Scope, off: &[Guard], property: &'static str) {
    let found = explore("without", scope, off);
    assert!(found.contains(&property), "{off:?}: {property:?} holds without it; found {found:?}");
}

#[test]
fn fault_without_a_guard_of_the_run_right_something_breaks() {
    use Guard::{EpochRule, LogId, ReadAfterStart, ResourceVersion, SilenceIsNoProof};
    needed(TWO_OPERATORS, &[ResourceVersion, EpochRule], model::EPOCHS_RISE);
    needed(TWO_OPERATORS, &[SilenceIsNoProof], ONE_RUNNER);
    needed(POWER_AND_LOG, &[LogId], model::GIVEN_UP);
    needed(POWER_AND_LOG, &[ReadAfterStart], ONE_RUNNER);
}

#[test]
fn fault_without_a_guard_of_fences_something_breaks() {
    for guard in [Guard::BootClaimed, Guard::FenceHonoured, Guard::FenceNamesBoot] {
        needed(POWER_TWICE, &[guard], ONE_RUNNER);
    }
}

#[test]
fn fault_without_a_guard_of_restores_something_breaks() {
    for guard in [Guard::PlacingHalts, Guard::RestoreDeclared, Guard::OperatorRestarted] {
        needed(RESTORED, &[guard], RESTORE_SETTLED);
    }
    needed(RESTORED, &[Guard::HolderAdopted], ONE_RUNNER);
}
