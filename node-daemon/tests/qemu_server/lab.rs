//! What the capture of `kernel_network` needs of its laboratory.

use std::process::Command;

use suigen_node_daemon::network::netlink::netns::Namespace;

/// Runs a line of shell in a namespace; gives what it wrote.
pub fn shell(namespace: &Namespace, line: &str) -> String {
    let output = namespace.run(|| Command::new("sh").args(["-ec", line]).output());
    let output = output.unwrap().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
