//! Tells kube-scheduler the plan: which pod is meant for which node.
