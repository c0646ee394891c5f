"""What the access policies of EKS allow and what not, by the tables of its user guide."""

import unittest

from .kubernetes import access_policies

CLUSTER = {"type": "cluster", "namespaces": []}
IN_TEAM = {"type": "namespace", "namespaces": ["team-*"]}
# (verb, group, resource), then the policies that allow it, by the middle of their names.
TABLE = [
    ("list", "", "pods", "View Edit Admin AdminView ClusterAdmin"),
    ("get", "", "pods/log", "View Edit Admin AdminView ClusterAdmin"),
    ("get", "", "namespaces", "View Edit Admin AdminView ClusterAdmin"),
    ("list", "", "events", "View Edit Admin AdminView ClusterAdmin"),
    ("list", "extensions", "ingresses", "View Edit Admin AdminView ClusterAdmin"),
    ("get", "", "secrets", "Edit Admin AdminView ClusterAdmin SecretReader"),
    ("create", "", "secrets", "Edit Admin ClusterAdmin"),
    ("patch", "apps", "deployments", "Edit Admin ClusterAdmin"),
    ("update", "apps", "deployments/scale", "Edit Admin ClusterAdmin"),
    ("delete", "", "pods", "Edit Admin ClusterAdmin"),
    ("create", "", "pods/exec", "Edit Admin ClusterAdmin"),
    ("create", "", "events", "Edit Admin ClusterAdmin"),
    ("impersonate", "", "serviceaccounts", "Edit Admin ClusterAdmin"),
    ("create", "networking.k8s.io", "ingresses", "Edit Admin ClusterAdmin"),
    ("create", "rbac.authorization.k8s.io", "roles", "Admin ClusterAdmin"),
    ("get", "rbac.authorization.k8s.io", "roles", "Admin AdminView ClusterAdmin"),
    ("create", "authorization.k8s.io", "localsubjectaccessreviews", "Admin ClusterAdmin"),
    ("list", "", "nodes", "AdminView ClusterAdmin"),
    ("list", "karpenter.sh", "nodepools", "AdminView ClusterAdmin"),
    ("list", "coordination.k8s.io", "leases", "AdminView ClusterAdmin"),
    ("create", "", "namespaces", "ClusterAdmin"),
    ("patch", "", "endpoints", "ClusterAdmin"),
    ("create", "", "pods/eviction", "ClusterAdmin"),
    ("create", "", "serviceaccounts/token", "ClusterAdmin"),
    ("create", "rbac.authorization.k8s.io", "clusterroles", "ClusterAdmin"),
    ("create", "apiextensions.k8s.io", "customresourcedefinitions", "ClusterAdmin"),
    ("patch", "storage.k8s.io", "storageclasses", "ClusterAdmin"),
]
NAMES = ("View", "Edit", "Admin", "AdminView", "ClusterAdmin", "SecretReader")


def allows(name, scope=CLUSTER, **attributes):
    """Whether the policy of this name does."""
    arn = f"arn:aws:eks::aws:cluster-access-policy/AmazonEKS{name}Policy"
    return access_policies.allowing_policy({arn: (None, None, scope)}, attributes) is not None


def asked(verb, group, resource, namespace="default"):
    """The question, as a SubjectAccessReview has it."""
    resource, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": resource, "namespace": namespace}
    return {**attributes, "subresource": subresource}


class AccessPolicies(unittest.TestCase):
    def test_each_allows_what_its_table_says_and_nothing_else(self):
        for verb, group, resource, expected in TABLE:
            question = asked(verb, group, resource)
            found = {name for name in NAMES if allows(name, resourceAttributes=question)}
            with self.subTest(f"{verb} {group}/{resource}"):
                self.assertEqual(found, set(expected.split()))

    def test_a_scope_of_namespaces_ends_there(self):
        for namespace, inside in (("team-a", True), ("other", False), ("", False)):
            question = asked("patch", "apps", "deployments", namespace)
            with self.subTest(namespace):
                self.assertEqual(allows("Edit", IN_TEAM, resourceAttributes=question), inside)

    def test_paths_that_are_no_resources_are_for_administrators_of_the_cluster(self):
        question = {"path": "/metrics", "verb": "get"}
        found = {name for name in NAMES if allows(name, nonResourceAttributes=question)}
        self.assertEqual(found, {"ClusterAdmin"})
        self.assertFalse(allows("ClusterAdmin", IN_TEAM, nonResourceAttributes=question))
