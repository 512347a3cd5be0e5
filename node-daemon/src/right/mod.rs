//! The run right on this node: what was promised, and what that allows.
//!
//! ```text
//!            HELD e                RELEASED e
//!  nothing ─────────► holds e ───────────────► gave up e ──► HELD e' (e' > e) …
//!     │
//!     └── REFUSED e ──► gave up e
//! ```
//!
//! The log ([`log`]) proves what this node gave up, never that it still holds:
//! every start of a QEMU needs a fresh quorum read of the object, judged by
//! [`decide`].

pub mod decide;
pub mod history;
pub mod log;
pub mod log_id;
pub mod record;

pub use decide::{Claim, Verdict};
pub use history::History;
pub use log::{Log, LogError};
pub use record::Word;
