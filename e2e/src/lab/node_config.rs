//! Configuration files of a node's services.

use serde_json::{Value, json};

use super::address::NodeIndex;
use crate::artifact::image::PAUSE;

/// kubelet.yaml (kubelet.config.k8s.io/v1beta1).
///
/// Nothing is evicted or collected: all nodes share this machine's disk, whose
/// free space is not theirs to judge. No cgroups for quality of service: most
/// machines of a lab lack the controllers in their version 2 tree.
pub fn kubelet(node: NodeIndex) -> Value {
    let never = [
        "memory.available",
        "nodefs.available",
        "nodefs.inodesFree",
        "imagefs.available",
        "imagefs.inodesFree",
    ];
    let eviction: serde_json::Map<String, Value> =
        never.iter().map(|signal| ((*signal).to_owned(), json!("0%"))).collect();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address(),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": "/etc/lab/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": "/etc/lab/kubelet-server.crt",
        "tlsPrivateKeyFile": "/etc/lab/kubelet-server.key",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": false,
        "enforceNodeAllocatable": [],
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "evictionHard": eviction,
        "imageGCHighThresholdPercent": 100,
        "nodeStatusUpdateFrequency": "5s",
        "nodeLeaseDurationSeconds": 20,
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "maxPods": 250,
    })
}

/// kube-proxy.yaml (kubeproxy.config.k8s.io/v1alpha1), with nftables and
/// without the connection tracking limits that belong to the machine.
pub fn kube_proxy(node: NodeIndex) -> Value {
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "bindAddress": node.address(),
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "clusterCIDR": "10.78.0.0/16",
        "clientConnection": {"kubeconfig": "/etc/lab/kube-proxy.kubeconfig"},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    })
}

/// The pods' network of one node: a bridge, routed by the lab between nodes.
pub fn cni(node: NodeIndex) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "lab",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pod_network()}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": true}, "backend": "nftables"},
        ],
    })
}

/// containerd.toml. The lab may lack CAP_SYS_RESOURCE, hence no lowered
/// out-of-memory scores.
pub fn containerd() -> String {
    format!(
        r"version = 3
root = '/var/lib/containerd'
state = '/run/containerd'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{PAUSE}'

[plugins.'io.containerd.cri.v1.runtime']
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
    runtime_type = 'io.containerd.runc.v2'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
      BinaryName = '/opt/lab/runc-lab/runc-lab'
      SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['/opt/lab/cni']
    conf_dir = '/etc/cni/net.d'
"
    )
}
