use super::*;
use crate::right::record::Word;

const E: fn(i64) -> Epoch = Epoch;

fn claim(epoch: i64) -> Claim {
    Claim { epoch: E(epoch), here: true, our_log: true, ending: false, said_released: false }
}

fn held(epoch: i64) -> Word {
    Word::Held { epoch: E(epoch), namespace: "a".into(), name: "b".into(), memory_bytes: 1 }
}

fn released(epoch: i64) -> Word {
    Word::Released { epoch: E(epoch) }
}

fn guest(epoch: i64) -> Option<Running> {
    Some(Running { epoch: Some(E(epoch)) })
}

type Case = (&'static str, View, Vec<Word>, Option<Running>, Verdict);

#[test]
fn decide_as_the_table_of_the_manual_says() {
    use Verdict::{Forget, Hold, Idle, Orphan, Refuse, SayReleased, Superseded, Take};
    let at = |claim| View::Placed(claim);
    let elsewhere = |epoch| at(Claim { here: false, ..claim(epoch) });
    let wiped = |epoch| at(Claim { our_log: false, ..claim(epoch) });
    let ending = |epoch| at(Claim { ending: true, ..claim(epoch) });
    let hold = |epoch, ending| Hold { epoch: E(epoch), ending };
    let refuse = |epoch, why, released| Refuse { epoch: E(epoch), why, released: E(released) };
    let cases: Vec<Case> = vec![
        ("placed here for the first time", at(claim(1)), vec![], None, Take { epoch: E(1) }),
        ("held before", at(claim(1)), vec![held(1)], None, hold(1, false)),
        ("held and running", at(claim(1)), vec![held(1)], guest(1), hold(1, false)),
        ("the log was lost, not its id", at(claim(1)), vec![], guest(1), Take { epoch: E(1) }),
        ("deleted", ending(1), vec![held(1)], guest(1), hold(1, true)),
        ("deleted before it was taken", ending(1), vec![], None, hold(1, true)),
        (
            "released, not yet said",
            ending(1),
            vec![held(1), released(1)],
            None,
            SayReleased { epoch: E(1), released: E(1) },
        ),
        ("given up before", at(claim(1)), vec![released(1)], None, refuse(1, Refusal::GivenUp, 1)),
        ("stale", at(claim(2)), vec![released(3)], None, refuse(2, Refusal::StaleEpoch, 3)),
        (
            "stale, the later one held",
            at(claim(2)),
            vec![held(3)],
            None,
            refuse(2, Refusal::StaleEpoch, 3),
        ),
        (
            "stale, and a guest runs",
            at(claim(2)),
            vec![held(3)],
            guest(3),
            Orphan(OrphanReason::StaleEpoch),
        ),
        ("wiped node", wiped(4), vec![], None, refuse(4, Refusal::LogReplaced, 4)),
        (
            "wiped node with a guest",
            wiped(4),
            vec![],
            Some(Running { epoch: None }),
            Orphan(OrphanReason::LogReplaced),
        ),
        ("moved away", elsewhere(2), vec![held(1)], guest(1), Superseded { held: E(1) }),
        ("moved away, nothing runs", elsewhere(2), vec![held(1)], None, Superseded { held: E(1) }),
        ("placed again here", at(claim(2)), vec![held(1)], guest(1), Superseded { held: E(1) }),
        (
            "placed again here, nothing runs",
            at(claim(2)),
            vec![held(1)],
            None,
            Take { epoch: E(2) },
        ),
        (
            "elsewhere, but older",
            elsewhere(1),
            vec![held(1)],
            guest(1),
            Orphan(OrphanReason::PlacedElsewhere),
        ),
        ("elsewhere, never ours", elsewhere(1), vec![], None, Idle),
        (
            "gone, guest runs",
            View::Absent,
            vec![held(1)],
            guest(1),
            Orphan(OrphanReason::ObjectMissing),
        ),
        ("gone, still held", View::Absent, vec![held(1)], None, Idle),
        ("gone, released", View::Absent, vec![held(1), released(1)], None, Forget),
        (
            "another of that name",
            View::Replaced,
            vec![held(1)],
            guest(1),
            Orphan(OrphanReason::ObjectReplaced),
        ),
        ("no placement", View::Unplaced, vec![held(1)], guest(1), Orphan(OrphanReason::NotPlaced)),
    ];
    for (name, view, words, guest, expected) in cases {
        assert_eq!(judge(view, &History::of(&words), guest), expected, "{name}");
    }
}

/// Every combination of small epochs and facts, against the rules that must
/// hold whatever the table says.
#[test]
fn decide_never_breaks_a_rule() {
    let mut seen = 0;
    for words in logs() {
        let history = History::of(&words);
        for view in views() {
            for guest in guests() {
                let verdict = judge(view, &history, guest);
                check(view, &history, guest, verdict);
                seen += 1;
            }
        }
    }
    assert!(seen > 5_000, "{seen}");
}

fn logs() -> Vec<Vec<Word>> {
    let mut logs = vec![vec![]];
    for first in 1..=3 {
        logs.push(vec![held(first)]);
        logs.push(vec![released(first)]);
        for second in 1..=3 {
            logs.push(vec![held(first), released(second)]);
            logs.push(vec![held(first), released(first), held(second)]);
        }
    }
    logs
}

fn views() -> Vec<View> {
    let mut views = vec![View::Absent, View::Replaced, View::Unplaced];
    for bits in 0..16_u8 {
        for epoch in 1..=4 {
            let bit = |n: u8| bits & (1 << n) != 0;
            views.push(View::Placed(Claim {
                epoch: E(epoch),
                here: bit(0),
                our_log: bit(1),
                ending: bit(2),
                said_released: bit(3),
            }));
        }
    }
    views
}

fn guests() -> Vec<Option<Running>> {
    vec![None, Some(Running { epoch: None }), guest(1), guest(2), guest(3)]
}

fn check(view: View, history: &History, guest: Option<Running>, verdict: Verdict) {
    let context = format!("{view:?} {history:?} {guest:?} -> {verdict:?}");
    match verdict {
        Verdict::Take { epoch } | Verdict::Hold { epoch, .. } => {
            let View::Placed(claim) = view else { unreachable!("{context}") };
            assert!(claim.here && claim.our_log && claim.epoch == epoch, "{context}");
            assert!(!claim.said_released, "{context}");
            if guest.is_none() {
                assert!(Some(epoch) >= history.highest, "{context}");
                assert!(Some(epoch) > history.given_up, "{context}");
            }
        }
        Verdict::Superseded { held } => {
            let View::Placed(claim) = view else { unreachable!("{context}") };
            assert!(claim.epoch > held, "{context}");
            assert!(claim.our_log || !claim.here, "{context}");
        }
        Verdict::Refuse { epoch, released, .. } | Verdict::SayReleased { epoch, released } => {
            assert!(guest.is_none(), "a guest runs: {context}");
            assert!(released >= epoch && Some(released) >= history.highest, "{context}");
        }
        Verdict::Orphan(_) => assert!(guest.is_some(), "{context}"),
        Verdict::Idle => assert!(guest.is_none(), "{context}"),
        Verdict::Forget => {
            assert!(guest.is_none() && history.held.is_none(), "{context}");
            assert!(matches!(view, View::Absent | View::Replaced), "{context}");
        }
    }
}
