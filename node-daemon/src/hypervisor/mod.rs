//! QEMU and what it stands on.
//!
//! | module | what |
//! |---|---|
//! | [`kvm`] | does the kernel's KVM run instructions here? |
//! | [`qemu`] | the command line, the jail and the process |
//! | [`qmp`] | the conversation with a running QEMU |

pub mod kvm;
pub mod qemu;
pub mod qmp;
