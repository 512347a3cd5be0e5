//! QMP, QEMU's control protocol: JSON objects, one a line, over a Unix socket.
//! <https://www.qemu.org/docs/master/interop/qmp-spec.html>

pub mod client;
pub mod codec;
pub mod commands;
pub mod event;
