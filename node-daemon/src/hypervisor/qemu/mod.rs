//! One QEMU: what it is told, where it is locked up, how it lives and dies.
//!
//! | module | what |
//! |---|---|
//! | [`args`] | a machine's command line (pure) |
//! | [`jail`] | the subcommand that locks itself up and becomes QEMU |
//! | [`residence`] | an incarnation's files: where they are on the node and in the jail |
//! | [`launch`] | starts an incarnation |
//! | [`process`] | a running incarnation, also one that an earlier daemon started |
//! | [`clean`] | removes what an incarnation leaves |
//! | `descriptors` | open files that a QEMU gets from the daemon: its taps |
//! | [`logs`], [`user_id`] | bounded logs; a user id of its own for each incarnation |

pub mod args;
pub mod clean;
mod descriptors;
pub mod jail;
pub mod launch;
pub mod logs;
pub mod process;
pub mod residence;
pub mod user_id;
