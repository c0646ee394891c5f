"""The add-ons that EKS offers, with their versions per Kubernetes minor version."""

import dataclasses

from .versions import VERSIONS, minor


@dataclasses.dataclass(frozen=True)
class Addon:
    """One add-on. `versions` maps a minor version to its versions, newest (the default) first."""

    name: str
    kind: str
    needs_nodes: bool
    needs_iam: bool
    versions: dict
    owner: str = "aws"
    publisher: str = "eks"
    namespace: str = "kube-system"


def _same(*versions):
    """The same versions for every minor version."""
    return {name: versions for name in VERSIONS}


def _kube_proxy():
    """kube-proxy goes with the cluster: its version is that of Kubernetes."""
    return {
        name: (f"v1.{minor(name)}.3-eksbuild.5", f"v1.{minor(name)}.0-eksbuild.2")
        for name in VERSIONS
    }


_COREDNS = {
    "1.36": ("v1.13.2-eksbuild.3", "v1.13.1-eksbuild.1"),
    "1.35": ("v1.13.1-eksbuild.1", "v1.12.4-eksbuild.1"),
    "1.34": ("v1.12.4-eksbuild.1", "v1.12.3-eksbuild.1"),
    "1.33": ("v1.12.2-eksbuild.4", "v1.12.1-eksbuild.2"),
    "1.32": ("v1.11.4-eksbuild.24", "v1.11.4-eksbuild.2"),
    "1.31": ("v1.11.4-eksbuild.24", "v1.11.3-eksbuild.1"),
}

CATALOGUE = {
    addon.name: addon
    for addon in (
        Addon(
            "vpc-cni",
            "networking",
            needs_nodes=False,
            needs_iam=True,
            versions=_same("v1.21.1-eksbuild.3", "v1.20.4-eksbuild.2", "v1.19.6-eksbuild.1"),
        ),
        Addon(
            "kube-proxy", "networking", needs_nodes=False, needs_iam=False, versions=_kube_proxy()
        ),
        Addon("coredns", "networking", needs_nodes=True, needs_iam=False, versions=_COREDNS),
        Addon(
            "eks-pod-identity-agent",
            "security",
            needs_nodes=False,
            needs_iam=False,
            versions=_same("v1.3.10-eksbuild.2", "v1.3.8-eksbuild.2"),
        ),
        Addon(
            "aws-ebs-csi-driver",
            "storage",
            needs_nodes=True,
            needs_iam=True,
            versions=_same("v1.56.0-eksbuild.1", "v1.54.0-eksbuild.1"),
        ),
        Addon(
            "aws-efs-csi-driver",
            "storage",
            needs_nodes=True,
            needs_iam=True,
            versions=_same("v2.3.0-eksbuild.1", "v2.1.15-eksbuild.1"),
        ),
        Addon(
            "aws-mountpoint-s3-csi-driver",
            "storage",
            needs_nodes=False,
            needs_iam=True,
            versions=_same("v2.2.2-eksbuild.1", "v2.2.0-eksbuild.1"),
        ),
        Addon(
            "snapshot-controller",
            "storage",
            needs_nodes=True,
            needs_iam=False,
            versions=_same("v8.4.0-eksbuild.2", "v8.3.0-eksbuild.1"),
        ),
        Addon(
            "metrics-server",
            "observability",
            needs_nodes=True,
            needs_iam=False,
            versions=_same("v0.8.1-eksbuild.1", "v0.8.0-eksbuild.2"),
            owner="community",
        ),
        Addon(
            "kube-state-metrics",
            "observability",
            needs_nodes=True,
            needs_iam=False,
            versions=_same("v2.17.0-eksbuild.4", "v2.16.0-eksbuild.1"),
            owner="community",
            namespace="kube-state-metrics",
        ),
        Addon(
            "prometheus-node-exporter",
            "observability",
            needs_nodes=False,
            needs_iam=False,
            versions=_same("v1.10.2-eksbuild.4", "v1.9.1-eksbuild.3"),
            owner="community",
            namespace="prometheus-node-exporter",
        ),
        Addon(
            "cert-manager",
            "security",
            needs_nodes=True,
            needs_iam=False,
            versions=_same("v1.19.2-eksbuild.1", "v1.18.3-eksbuild.1"),
            owner="community",
            namespace="cert-manager",
        ),
        Addon(
            "external-dns",
            "networking",
            needs_nodes=True,
            needs_iam=True,
            versions=_same("v0.20.0-eksbuild.1", "v0.19.0-eksbuild.2"),
            owner="community",
            namespace="external-dns",
        ),
    )
}


def describe(addon, kubernetes_version=None):
    """One entry of DescribeAddonVersions."""
    compatible = {}
    for cluster_version, versions in addon.versions.items():
        if kubernetes_version in (None, cluster_version):
            for version in versions:
                compatible.setdefault(version, []).append(
                    {
                        "clusterVersion": cluster_version,
                        "platformVersions": ["*"],
                        "defaultVersion": version == versions[0],
                    }
                )
    return {
        "addonName": addon.name,
        "type": addon.kind,
        "publisher": addon.publisher,
        "owner": addon.owner,
        "defaultNamespace": addon.namespace,
        "addonVersions": [
            {
                "addonVersion": version,
                "architecture": ["amd64", "arm64"],
                "computeTypes": ["ec2", "auto", "hybrid"],
                "compatibilities": compatible[version],
                "requiresConfiguration": False,
                "requiresIamPermissions": addon.needs_iam,
            }
            for version in compatible
        ],
    }
