use super::*;

const STANDINGS: [Standing; 13] = [
    Standing::Unread,
    Standing::Frozen,
    Standing::Idle,
    Standing::Forget,
    Standing::Orphan,
    Standing::Refuse,
    Standing::Take,
    Standing::Superseded,
    Standing::GivenUp,
    Standing::Held(Wish::Run),
    Standing::Held(Wish::Rest),
    Standing::Held(Wish::Keep),
    Standing::Held(Wish::Release),
];
const READINGS: [Reading; 4] = [Reading::Fresh, Reading::Due, Reading::UnderWay, Reading::Failing];
const GUESTS: [Guest; 7] = [
    Guest::Absent,
    Guest::Launching,
    Guest::Prelaunch,
    Guest::Running,
    Guest::Suspended,
    Guest::Halted,
    Guest::Silent,
];
const VOLUMES: [Volumes; 3] = [Volumes::Unchecked, Volumes::Making, Volumes::Usable];
const POWER_OFFS: [PowerOff; 4] =
    [PowerOff::None, PowerOff::Asked, PowerOff::Quitting, PowerOff::Killing];

fn situations() -> Vec<Situation> {
    let mut all = Vec::new();
    for standing in STANDINGS {
        for reading in READINGS {
            for guest in GUESTS {
                for volumes in VOLUMES {
                    for power_off in POWER_OFFS {
                        for bits in 0..8_u8 {
                            all.push(Situation {
                                standing,
                                reading,
                                guest,
                                volumes,
                                power_off,
                                overdue: bits & 1 != 0,
                                residue: bits & 2 != 0,
                                holding_back: bits & 4 != 0,
                            });
                        }
                    }
                }
            }
        }
    }
    all
}

/// What must hold for a step to be legal, whatever the table says.
fn legal(now: &Situation, step: Step) -> bool {
    let held = matches!(now.standing, Standing::Held(_));
    let runs = now.guest.exists();
    let word =
        [Step::Take, Step::Refuse, Step::SayReleased, Step::Release, Step::Yield, Step::Forget];
    if word.contains(&step) && now.reading != Reading::Fresh {
        return false;
    }
    match step {
        Step::Wait => true,
        Step::Read => now.reading == Reading::Due,
        Step::Take => now.standing == Standing::Take,
        Step::Refuse => now.standing == Standing::Refuse && !runs,
        Step::SayReleased => now.standing == Standing::GivenUp && !runs,
        Step::Prepare => {
            now.standing == Standing::Held(Wish::Run) && !runs && now.reading == Reading::Fresh
        }
        Step::Launch => {
            now.standing == Standing::Held(Wish::Run)
                && !runs
                && !now.residue
                && now.reading == Reading::Fresh
                && now.volumes == Volumes::Usable
        }
        Step::Continue => {
            now.standing == Standing::Held(Wish::Run)
                && now.guest == Guest::Prelaunch
                && now.reading == Reading::Fresh
        }
        Step::Resume => now.standing == Standing::Held(Wish::Run) && now.guest == Guest::Suspended,
        Step::AskPowerOff => {
            matches!(now.standing, Standing::Held(Wish::Rest | Wish::Release)) && runs
        }
        Step::Quit => {
            held && runs
                && (now.guest == Guest::Halted
                    || now.power_off != PowerOff::None
                    || matches!(now.standing, Standing::Held(Wish::Rest | Wish::Release)))
        }
        Step::Kill => {
            runs && (now.standing == Standing::Superseded
                || (held
                    && now.overdue
                    && matches!(now.power_off, PowerOff::Quitting | PowerOff::Killing)))
        }
        Step::CleanUp => !runs && now.residue,
        Step::Release => now.standing == Standing::Held(Wish::Release) && !runs && !now.residue,
        Step::Yield => now.standing == Standing::Superseded && !runs && !now.residue,
        Step::Forget => now.standing == Standing::Forget && !runs && !now.residue,
    }
}

#[test]
fn decide_only_legal_steps_in_every_situation() {
    let all = situations();
    assert_eq!(all.len(), 13 * 4 * 7 * 3 * 4 * 8);
    for now in &all {
        let step = next(now);
        assert!(legal(now, step), "{step:?} in {now:?}");
    }
}

#[test]
fn decide_leaves_alone_what_it_may_not_touch() {
    for now in situations() {
        let untouchable = matches!(
            now.standing,
            Standing::Unread | Standing::Frozen | Standing::Idle | Standing::Orphan
        ) || now.standing == Standing::Held(Wish::Keep);
        if untouchable && now.guest.exists() && now.power_off == PowerOff::None {
            assert!(matches!(next(&now), Step::Wait | Step::Read), "{now:?}");
        }
        if now.standing == Standing::Held(Wish::Run)
            && matches!(now.guest, Guest::Running | Guest::Silent)
            && now.power_off == PowerOff::None
        {
            assert!(matches!(next(&now), Step::Wait | Step::Read), "{now:?}");
        }
    }
}

#[test]
fn decide_reaches_the_wish_step_by_step() {
    let base = Situation {
        standing: Standing::Held(Wish::Run),
        reading: Reading::Fresh,
        guest: Guest::Absent,
        volumes: Volumes::Unchecked,
        power_off: PowerOff::None,
        overdue: false,
        residue: false,
        holding_back: false,
    };
    let down = Situation {
        standing: Standing::Held(Wish::Release),
        guest: Guest::Running,
        volumes: Volumes::Usable,
        ..base
    };
    let steps = [
        (base, Step::Prepare),
        (Situation { volumes: Volumes::Usable, ..base }, Step::Launch),
        (Situation { guest: Guest::Prelaunch, ..base }, Step::Continue),
        (Situation { guest: Guest::Running, ..base }, Step::Wait),
        (Situation { guest: Guest::Halted, ..base }, Step::Quit),
        (down, Step::AskPowerOff),
        (Situation { power_off: PowerOff::Asked, ..down }, Step::Wait),
        (Situation { power_off: PowerOff::Asked, guest: Guest::Halted, ..down }, Step::Quit),
        (Situation { power_off: PowerOff::Asked, overdue: true, ..down }, Step::Quit),
        (Situation { power_off: PowerOff::Quitting, overdue: true, ..down }, Step::Kill),
        (Situation { guest: Guest::Absent, residue: true, ..down }, Step::CleanUp),
        (Situation { guest: Guest::Absent, ..down }, Step::Release),
    ];
    for (now, expected) in steps {
        assert_eq!(next(&now), expected, "{now:?}");
    }
}

/// Every step is the answer to some situation: the table has no dead word.
#[test]
fn decide_uses_every_step() {
    let used: std::collections::HashSet<Step> = situations().iter().map(next).collect();
    assert_eq!(used.len(), 16);
}
