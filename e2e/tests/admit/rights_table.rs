//! Who has which rights, and which not.

use suigen_e2e::cluster::install::NAMESPACE;

/// `verbs` on `resource` (as `group/resource`, `resource/subresource` or
/// `resource:name`), in the namespace of Suigen or in a tenant's.
pub struct Right {
    pub allowed: bool,
    pub verbs: &'static [&'static str],
    pub resource: &'static str,
    pub place: &'static str,
}

/// Something that is needed.
pub const fn may(
    verbs: &'static [&'static str],
    resource: &'static str,
    place: &'static str,
) -> Right {
    Right { allowed: true, verbs, resource, place }
}

const fn may_not(
    verbs: &'static [&'static str],
    resource: &'static str,
    place: &'static str,
) -> Right {
    Right { allowed: false, verbs, resource, place }
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch", "delete", "deletecollection"];
const ALL: &[&str] = &["get", "list", "watch", "create", "update", "patch", "delete"];

/// A node-daemon.
pub const DAEMON: &[Right] = &[
    may(READ, "suigen.dev/virtualservers", "tenant"),
    may(READ, "suigen.dev/disks", "tenant"),
    may(&["patch"], "suigen.dev/virtualservers/status", "tenant"),
    may(&["patch"], "suigen.dev/disks/status", "tenant"),
    may(READ, "suigen.dev/tenantnetworks", "tenant"),
    may(READ, "suigen.dev/networkports", "tenant"),
    may(READ, "suigen.dev/networksegments", ""),
    may(&["patch"], "suigen.dev/networkports/status", "tenant"),
    may(&["patch"], "suigen.dev/networksegments/status", ""),
    may(&["get", "list", "watch", "create"], "suigen.dev/hypervisors", ""),
    may(&["patch"], "suigen.dev/hypervisors/status", ""),
    may(&["get", "create", "update", "patch"], "coordination.k8s.io/leases", NAMESPACE),
    may(&["get"], "/configmaps:suigen-ca", NAMESPACE),
    may(&["get"], "/nodes", ""),
    may(&["create", "patch"], "events.k8s.io/events", "tenant"),
    may_not(WRITE, "suigen.dev/virtualservers", "tenant"),
    may_not(WRITE, "suigen.dev/disks", "tenant"),
    may_not(WRITE, "suigen.dev/tenantnetworks", "tenant"),
    may_not(WRITE, "suigen.dev/networkports", "tenant"),
    may_not(WRITE, "suigen.dev/networksegments", ""),
    may_not(ALL, "suigen.dev/addressclaims", "tenant"),
    may_not(&["update", "patch"], "suigen.dev/tenantnetworks/status", "tenant"),
    may_not(&["update", "patch", "delete"], "suigen.dev/hypervisors", ""),
    may_not(ALL, "suigen.dev/serverclasses", ""),
    may_not(ALL, "suigen.dev/serverimages", ""),
    may_not(ALL, "/secrets", NAMESPACE),
    may_not(&["get"], "/secrets:suigen-ca", NAMESPACE),
    may_not(ALL, "/secrets", "tenant"),
    may_not(ALL, "/secrets:boot", "tenant"),
    may_not(ALL, "/secrets", ""),
    may_not(ALL, "/configmaps", "tenant"),
    may_not(&["delete"], "coordination.k8s.io/leases", NAMESPACE),
    may_not(ALL, "coordination.k8s.io/leases", "kube-node-lease"),
    may_not(&["list", "watch", "update", "patch"], "/nodes", ""),
    may_not(ALL, "/pods", "tenant"),
];

/// The operator.
pub const OPERATOR: &[Right] = &[
    may(READ, "suigen.dev/serverclasses", ""),
    may(&["update", "patch"], "suigen.dev/virtualservers", "tenant"),
    may(&["create", "update", "patch", "delete"], "suigen.dev/disks", "tenant"),
    may(&["update", "patch"], "suigen.dev/hypervisors/status", ""),
    may(READ, "suigen.dev/tenantnetworks", "tenant"),
    may(&["update", "patch"], "suigen.dev/tenantnetworks", "tenant"),
    may(&["update", "patch"], "suigen.dev/tenantnetworks/status", "tenant"),
    may(ALL, "suigen.dev/networkports", "tenant"),
    may(&["update", "patch"], "suigen.dev/networkports/status", "tenant"),
    may(ALL, "suigen.dev/addressclaims", "tenant"),
    may(ALL, "suigen.dev/networksegments", ""),
    may(&["update", "patch"], "suigen.dev/networksegments/status", ""),
    may(&["get"], "/secrets:boot", "tenant"),
    may(READ, "coordination.k8s.io/leases", NAMESPACE),
    may(&["update"], "coordination.k8s.io/leases:suigen-operator", NAMESPACE),
    may(&["create"], "/secrets", NAMESPACE),
    may(&["get"], "/secrets:suigen-ca", NAMESPACE),
    may(&["create"], "authentication.k8s.io/tokenreviews", ""),
    may(&["create"], "authorization.k8s.io/subjectaccessreviews", ""),
    may_not(&["create", "delete"], "suigen.dev/virtualservers", "tenant"),
    may_not(WRITE, "suigen.dev/hypervisors", ""),
    may_not(WRITE, "suigen.dev/serverclasses", ""),
    may_not(&["list", "watch", "update", "patch", "delete"], "/secrets", NAMESPACE),
    may_not(&["update", "patch", "delete"], "/secrets:suigen-ca", NAMESPACE),
    may_not(&["list", "watch", "create", "update", "patch", "delete"], "/secrets", "tenant"),
    may_not(&["list", "watch"], "/secrets", ""),
    may_not(&["create", "delete"], "suigen.dev/tenantnetworks", "tenant"),
    may_not(&["update", "delete"], "coordination.k8s.io/leases:hypervisor-a", NAMESPACE),
    may_not(ALL, "/nodes", ""),
    may_not(ALL, "/pods", NAMESPACE),
];

/// Who has `suigen-edit` in a namespace.
pub const TENANT: &[Right] = &[
    may(READ, "suigen.dev/virtualservers", "tenant"),
    may(WRITE, "suigen.dev/virtualservers", "tenant"),
    may(WRITE, "suigen.dev/disks", "tenant"),
    may(WRITE, "suigen.dev/tenantnetworks", "tenant"),
    may(READ, "suigen.dev/networkports", "tenant"),
    may(READ, "suigen.dev/addressclaims", "tenant"),
    may_not(WRITE, "suigen.dev/networkports", "tenant"),
    may_not(WRITE, "suigen.dev/addressclaims", "tenant"),
    may_not(ALL, "suigen.dev/networksegments", ""),
    may_not(&["update", "patch"], "suigen.dev/tenantnetworks/status", "tenant"),
    may_not(&["update", "patch"], "suigen.dev/networkports/status", "tenant"),
    may(&["create"], "suigen.dev/virtualservers/console", "tenant"),
    may_not(&["update", "patch"], "suigen.dev/virtualservers/status", "tenant"),
    may_not(&["update", "patch"], "suigen.dev/disks/status", "tenant"),
    may_not(ALL, "suigen.dev/hypervisors", ""),
    may_not(WRITE, "suigen.dev/serverclasses", ""),
    may_not(ALL, "suigen.dev/virtualservers", NAMESPACE),
];

/// Who has `suigen-view` there.
pub const VIEWER: &[Right] = &[
    may(READ, "suigen.dev/virtualservers", "tenant"),
    may_not(WRITE, "suigen.dev/virtualservers", "tenant"),
    may(READ, "suigen.dev/tenantnetworks", "tenant"),
    may(READ, "suigen.dev/networkports", "tenant"),
    may_not(WRITE, "suigen.dev/tenantnetworks", "tenant"),
    may_not(WRITE, "suigen.dev/addressclaims", "tenant"),
    may_not(&["create"], "suigen.dev/virtualservers/console", "tenant"),
];
