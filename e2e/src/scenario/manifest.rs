//! Manifests of the scenarios, written as a tenant would.

use std::fmt::Write;

/// A VirtualServer with a boot disk of its own and further empty disks.
#[derive(Debug, Clone)]
pub struct Server<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its ServerClass.
    pub class: &'a str,
    /// The image of its boot disk.
    pub image: &'a str,
    /// Size of the boot disk.
    pub size: &'a str,
    /// Further lines of the spec, such as `powerState: PoweredOff`.
    pub spec: &'a [&'a str],
}

impl<'a> Server<'a> {
    /// A small server of image `tiny`.
    pub fn tiny(namespace: &'a str, name: &'a str) -> Self {
        Self { namespace, name, class: "b-1c256m", image: "tiny", size: "256Mi", spec: &[] }
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let Self { namespace, name, class, image, size, spec } = self;
        let mut further = String::new();
        for line in *spec {
            let _ = writeln!(further, "  {line}");
        }
        format!(
            "---
apiVersion: suigen.dev/v1alpha1
kind: VirtualServer
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  serverClassName: {class}
  bootDiskName: root
  disks:
  - name: root
    template: {{imageName: {image}, size: {size}, diskClassName: local-be, reclaimPolicy: Delete}}
{further}"
        )
    }
}

/// A TenantNetwork with one subnet.
#[derive(Debug, Clone)]
pub struct Network<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The prefix of its subnet.
    pub cidr: &'a str,
    /// Further fields of the subnet, such as `gateway: 10.20.0.1`.
    pub subnet: &'a [&'a str],
    /// Further lines of the spec, such as `mtu: 1400`.
    pub spec: &'a [&'a str],
}

impl<'a> Network<'a> {
    /// A network of 10.20.0.0/24 with a gateway and a resolver.
    pub fn web(namespace: &'a str) -> Self {
        let subnet = &["gateway: 10.20.0.1", "nameservers: [10.20.0.53]"];
        Self { namespace, name: "web", cidr: "10.20.0.0/24", subnet, spec: &[] }
    }

    /// The manifest.
    pub fn yaml(&self) -> String {
        let Self { namespace, name, cidr, subnet, spec } = self;
        let lines = |lines: &[&str]| -> String {
            lines.iter().map(|line| format!("{line}\n")).collect::<String>()
        };
        let indented = |by: &str, text: String| text.replace('\n', &format!("\n{by}"));
        format!(
            "---
apiVersion: suigen.dev/v1alpha1
kind: TenantNetwork
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  {}
  subnets:
  - name: v4
    cidr: {cidr}
    {}
",
            indented("  ", lines(spec)),
            indented("    ", lines(subnet)),
        )
    }
}

/// A ServerImage in the lab's file server.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// Its name.
    pub name: &'a str,
    /// The URL of its file.
    pub url: &'a str,
    /// The digest that it must have.
    pub sha256: &'a str,
    /// `Bios` or `Uefi`.
    pub firmware: &'a str,
    /// The smallest disk that it fits on.
    pub minimum_disk: &'a str,
}

impl Image<'_> {
    /// The manifest.
    pub fn yaml(&self) -> String {
        let Self { name, url, sha256, firmware, minimum_disk } = self;
        format!(
            "---
apiVersion: suigen.dev/v1alpha1
kind: ServerImage
metadata: {{name: {name}}}
spec:
  url: {url}
  sha256: \"{sha256}\"
  format: Qcow2
  firmware: {firmware}
  minimumDisk: {minimum_disk}
"
        )
    }
}
