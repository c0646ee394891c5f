"""What the access policies of EKS allow, for the authorizer of its own that EKS has beside RBAC."""

import fnmatch

_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
# What both `apps` and, from long ago, `extensions` know.
_SCALED = (
    "daemonsets",
    "deployments",
    "deployments/scale",
    "replicasets",
    "replicasets/scale",
)
_APPS = (*_SCALED, "statefulsets", "statefulsets/scale")
_EXTENSIONS = (*_SCALED, "ingresses", "networkpolicies", "replicationcontrollers/scale")
_OF_SCALED = ("daemonsets/status", "deployments/status", "replicasets/status")
_REPLICATED = ("replicationcontrollers", "replicationcontrollers/scale")
_PODS = ("pods/attach", "pods/exec", "pods/portforward", "pods/proxy")
# The tables of the EKS user guide, "Review access policy permissions": API group, resources, verbs.
_VIEW = [
    ("apps", (*_APPS, *_OF_SCALED, "statefulsets/status", "controllerrevisions"), _READ),
    ("autoscaling", ("horizontalpodautoscalers", "horizontalpodautoscalers/status"), _READ),
    ("batch", ("cronjobs", "cronjobs/status", "jobs", "jobs/status"), _READ),
    ("discovery.k8s.io", ("endpointslices",), _READ),
    ("extensions", (*_EXTENSIONS, *_OF_SCALED, "ingresses/status"), _READ),
    ("networking.k8s.io", ("ingresses", "ingresses/status", "networkpolicies"), _READ),
    ("policy", ("poddisruptionbudgets", "poddisruptionbudgets/status"), _READ),
    (
        "",
        (
            *_REPLICATED,
            "bindings",
            "configmaps",
            "endpoints",
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "persistentvolumeclaims",
            "persistentvolumeclaims/status",
            "pods",
            "pods/log",
            "pods/status",
            "replicationcontrollers/status",
            "resourcequotas",
            "resourcequotas/status",
            "serviceaccounts",
            "services",
            "services/status",
        ),
        _READ,
    ),
]
_EDIT = [
    *_VIEW,
    ("apps", (*_APPS, "deployments/rollback"), _WRITE),
    ("autoscaling", ("horizontalpodautoscalers",), _WRITE),
    ("batch", ("cronjobs", "jobs"), _WRITE),
    ("extensions", (*_EXTENSIONS, "deployments/rollback"), _WRITE),
    ("networking.k8s.io", ("ingresses", "networkpolicies"), _WRITE),
    ("policy", ("poddisruptionbudgets",), _WRITE),
    (
        "",
        (
            *_REPLICATED,
            "configmaps",
            "events",
            "persistentvolumeclaims",
            "secrets",
            "serviceaccounts",
            "services",
            "services/proxy",
        ),
        _WRITE,
    ),
    ("", ("pods", *_PODS), _WRITE),
    ("", (*_PODS, "secrets", "services/proxy"), _READ),
    ("", ("serviceaccounts",), ("impersonate",)),
]
_ADMIN = [
    *_EDIT,
    ("authorization.k8s.io", ("localsubjectaccessreviews",), ("create",)),
    ("rbac.authorization.k8s.io", ("rolebindings", "roles"), _READ + _WRITE),
]
_POLICIES = {
    "AmazonEKSClusterAdminPolicy": [("*", ("*",), ("*",))],
    "AmazonEKSAdminViewPolicy": [("*", ("*",), _READ)],
    "AmazonEKSAdminPolicy": _ADMIN,
    "AmazonEKSEditPolicy": _EDIT,
    "AmazonEKSViewPolicy": _VIEW,
    "AmazonEKSSecretReaderPolicy": [("", ("secrets",), _READ)],
}


def allowing_policy(policies, review):
    """The name of the policy that allows what a SubjectAccessReview's `spec` asks, or None.

    `policies` is policy ARN -> (…, …, scope), as an access entry has them.
    """
    for arn, (_, _, scope) in policies.items():
        name = arn.rsplit("/", 1)[-1]
        if _allows(name, scope, review):
            return name
    return None


def _allows(name, scope, review):
    beyond = review.get("nonResourceAttributes")
    if beyond is not None:
        whole = scope["type"] == "cluster"
        return whole and name == "AmazonEKSClusterAdminPolicy"
    asked = review.get("resourceAttributes") or {}
    if scope["type"] == "namespace" and not _in_scope(asked.get("namespace"), scope["namespaces"]):
        return False
    resource = asked.get("resource", "")
    if asked.get("subresource"):
        resource = f"{resource}/{asked['subresource']}"
    return any(
        _matches(asked.get("group", ""), (group,))
        and _matches(resource, resources)
        and _matches(asked.get("verb", ""), verbs)
        for group, resources, verbs in _POLICIES.get(name, ())
    )


def _in_scope(namespace, patterns):
    return bool(namespace) and any(fnmatch.fnmatchcase(namespace, pattern) for pattern in patterns)


def _matches(value, allowed):
    return "*" in allowed or value in allowed
