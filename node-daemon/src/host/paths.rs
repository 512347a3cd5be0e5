//! Where everything is. No other module puts a path of these trees together.

use std::path::{Path, PathBuf};

use suigen_crds::ident::{Sha256, Uid};

/// The three trees that the daemon keeps on its node, and the program that it
/// calls itself by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    state: PathBuf,
    run: PathBuf,
    cgroup: PathBuf,
    program: PathBuf,
}

impl Paths {
    /// `state` survives a reboot, `run` need not, `cgroup` is a directory of a
    /// cgroup v2 file system. All three are absolute and the same in the
    /// daemon's view as in the node's.
    #[must_use]
    pub fn new(
        state: impl Into<PathBuf>,
        run: impl Into<PathBuf>,
        cgroup: impl Into<PathBuf>,
    ) -> Self {
        let program = PathBuf::from("/proc/self/exe");
        Self { state: state.into(), run: run.into(), cgroup: cgroup.into(), program }
    }

    /// Names the program whose subcommand `jail` enters jails, where the
    /// present one has no such subcommand.
    #[must_use]
    pub fn with_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// The program with the subcommand `jail`.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What survives a reboot.
    #[must_use]
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Sockets and other things of the present boot.
    #[must_use]
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// The cgroup below which each incarnation has its own.
    #[must_use]
    pub fn cgroup(&self) -> &Path {
        &self.cgroup
    }

    /// The random name of this node's logs.
    #[must_use]
    pub fn log_id(&self) -> PathBuf {
        self.state.join("log-id")
    }

    /// The node's key and certificate for consoles.
    #[must_use]
    pub fn tls_dir(&self) -> PathBuf {
        self.state.join("tls")
    }

    /// Held by the one daemon that may act on this state.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }

    /// The run-right logs of all servers.
    #[must_use]
    pub fn rights(&self) -> PathBuf {
        self.state.join("right")
    }

    /// The run-right log of a server.
    #[must_use]
    pub fn right(&self, server: &Uid) -> PathBuf {
        self.rights().join(server.as_str())
    }

    /// The directories of all servers.
    #[must_use]
    pub fn servers(&self) -> PathBuf {
        self.state.join("servers")
    }

    /// What is kept of a server until its right is released.
    #[must_use]
    pub fn server_dir(&self, server: &Uid) -> PathBuf {
        self.servers().join(server.as_str())
    }

    /// The record of a server's present or last incarnation.
    #[must_use]
    pub fn incarnation_record(&self, server: &Uid) -> PathBuf {
        self.server_dir(server).join("incarnation.json")
    }

    /// What the guest wrote to its serial console, over its last boots.
    #[must_use]
    pub fn serial_log(&self, server: &Uid) -> PathBuf {
        self.server_dir(server).join("serial.log")
    }

    /// What QEMU wrote to its standard output and error.
    #[must_use]
    pub fn qemu_log(&self, server: &Uid) -> PathBuf {
        self.server_dir(server).join("qemu.log")
    }

    /// The first boot data of a server's present or last incarnation.
    #[must_use]
    pub fn first_boot(&self, server: &Uid) -> PathBuf {
        self.server_dir(server).join("first-boot.img")
    }

    /// What is known of the tenants' networks that this node hosts.
    #[must_use]
    pub fn network_facts(&self) -> PathBuf {
        self.state.join("network/desired.json")
    }

    /// The file that the tenants' network namespace is bound to.
    #[must_use]
    pub fn network_namespace(&self) -> PathBuf {
        self.run.join("netns/suigen")
    }

    /// The run directories of all servers.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.run.join("servers")
    }

    /// The run directories of a server's incarnations.
    #[must_use]
    pub fn server_run_dir(&self, server: &Uid) -> PathBuf {
        self.runs().join(server.as_str())
    }

    /// The sockets of one incarnation.
    #[must_use]
    pub fn incarnation_run_dir(&self, server: &Uid, incarnation: i64) -> PathBuf {
        self.server_run_dir(server).join(incarnation.to_string())
    }

    /// The socket at which QEMU is controlled.
    #[must_use]
    pub fn qmp_socket(&self, server: &Uid, incarnation: i64) -> PathBuf {
        self.incarnation_run_dir(server, incarnation).join("qmp")
    }

    /// The socket of the first serial console.
    #[must_use]
    pub fn serial_socket(&self, server: &Uid, incarnation: i64) -> PathBuf {
        self.incarnation_run_dir(server, incarnation).join("serial")
    }

    /// What the jail of an incarnation is like.
    #[must_use]
    pub fn jail_spec(&self, server: &Uid, incarnation: i64) -> PathBuf {
        self.server_run_dir(server).join(format!("{incarnation}.json"))
    }

    /// The user ids that are in use by incarnations, a file each.
    #[must_use]
    pub fn user_ids(&self) -> PathBuf {
        self.run.join("user-ids")
    }

    /// The room for files of short-lived helpers.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.run.join("scratch")
    }

    /// All volumes.
    #[must_use]
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// The directory of a volume; it exists when the volume is whole.
    #[must_use]
    pub fn volume_dir(&self, disk: &Uid) -> PathBuf {
        self.volumes().join(disk.as_str())
    }

    /// The data of a volume.
    #[must_use]
    pub fn volume(&self, disk: &Uid) -> PathBuf {
        self.volume_dir(disk).join("disk.qcow2")
    }

    /// What a volume was made from.
    #[must_use]
    pub fn volume_record(&self, disk: &Uid) -> PathBuf {
        self.volume_dir(disk).join("volume.json")
    }

    /// The UEFI variables of the server that boots from a volume.
    #[must_use]
    pub fn nvram(&self, disk: &Uid) -> PathBuf {
        self.volume_dir(disk).join("nvram")
    }

    /// All images.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// A verified image.
    #[must_use]
    pub fn image(&self, sha256: &Sha256) -> PathBuf {
        self.images().join(sha256.as_str())
    }

    /// What was found in a verified image; the image is usable once this exists.
    #[must_use]
    pub fn image_record(&self, sha256: &Sha256) -> PathBuf {
        self.images().join(format!("{sha256}.json"))
    }

    /// All QEMU bundles.
    #[must_use]
    pub fn bundles(&self) -> PathBuf {
        self.state.join("bundles")
    }

    /// The QEMU bundle with a digest.
    #[must_use]
    pub fn bundle(&self, digest: &str) -> PathBuf {
        self.bundles().join(digest)
    }

    /// The cgroup of all incarnations of a server.
    #[must_use]
    pub fn server_cgroup(&self, server: &Uid) -> PathBuf {
        self.cgroup.join(server.as_str())
    }

    /// The cgroup of one incarnation.
    #[must_use]
    pub fn incarnation_cgroup(&self, server: &Uid, incarnation: i64) -> PathBuf {
        self.server_cgroup(server).join(incarnation.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sun_path` has 108 bytes, the last of them zero.
    #[test]
    fn sockets_fit_into_their_addresses() {
        let uid = Uid::try_from("0a000000-0000-4000-8000-00000000000f".to_owned()).unwrap();
        let paths = Paths::new("/var/lib/suigen", "/run/suigen", "/sys/fs/cgroup/suigen");
        let socket = paths.serial_socket(&uid, i64::MAX);
        assert!(socket.as_os_str().len() < 108, "{}", socket.display());
    }
}
