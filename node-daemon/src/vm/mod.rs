//! Virtual servers on this node: one task and one queue a server.
//!
//! ```text
//!               placed here        volumes there      QMP answers      cont
//!   (nothing) ──────────► Preparing ─────────► Starting ────────► … ───────► Running
//!       │ cannot honour        ▲                                          │  ▲  │  ▲
//!       ▼                      │ quorum read, back-off        I/O error   │  │  │  │ answers again
//!    Refused                 Down ◄──────────── QEMU ended ───────────────┤  │  │  │
//!                              ▲                                  ▼       │  │  ▼  │
//!   Released ◄── deleted ── Stopped ◄── quit ── Stopping ◄── Paused ──────┼──┘ QmpUnresponsive
//!                              ▲   powered off ─────────────────────────► │      (left alone)
//!                              └──── guest powered off, by restartPolicy ─┘
//! ```
//!
//! Whatever enters the queue ([`event`]) changes what the task knows; what
//! follows from it is one pure table, [`decide`], over a few closed types,
//! [`situation`]. So an event that comes twice, late or never changes nothing
//! but the time.
//!
//! | file | what |
//! |---|---|
//! | [`task`] | the loop: situation, next step, carry out, report, wait |
//! | `observe`, [`read`] | events in, quorum reads in |
//! | `claim` | taking, refusing and releasing the right |
//! | `begin` | a task before the API was asked |
//! | [`ready`], [`volumes`] | what a start needs: volumes, first boot data, taps |
//! | `start`, `stop` | QEMU up; power-off and process end |
//! | `say` | what is reported, and when |
//! | [`adopt`] | what runs is found before anything is watched |
//! | [`node`], [`ledger`] | what all tasks share |

pub mod adopt;
pub mod backoff;
mod begin;
mod claim;
pub mod decide;
pub mod event;
pub mod guest;
pub mod incarnation;
pub mod ledger;
pub mod node;
mod observe;
pub mod read;
pub mod ready;
pub mod registry;
mod say;
pub mod situation;
mod start;
mod stop;
pub mod task;
pub mod volumes;
