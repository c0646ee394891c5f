//! What an object names, or stands in.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Index, items, pod_template, text};
use crate::spec::objects::ObjectId;
use crate::spec::objects::served;

/// The objects that have to stand before `manifest`.
pub fn needs(manifest: &Value, index: &Index<'_>) -> BTreeSet<usize> {
    let Some(id) = ObjectId::of(manifest) else { return BTreeSet::new() };
    let mut needs = Needs { index, namespace: id.namespace.clone().unwrap_or_default(), found: BTreeSet::new() };
    needs.place(&id);
    needs.definition(&id);
    if let Some(template) = pod_template(manifest) {
        needs.pods(template);
    }
    needs.by_kind(&id, manifest);
    needs.found
}

struct Needs<'a> {
    index: &'a Index<'a>,
    namespace: String,
    found: BTreeSet<usize>,
}

impl Needs<'_> {
    fn one(&mut self, group_kind: &str, namespace: &str, name: &str) {
        self.found.extend(self.index.find(group_kind, namespace, name));
    }

    fn here(&mut self, group_kind: &str, name: &str) {
        self.found.extend(self.index.find(group_kind, &self.namespace, name));
    }

    /// What a Service leads to, and the Service.
    fn behind(&mut self, namespace: &str, service: &str) {
        self.found.extend(self.index.behind_service(namespace, service));
    }

    /// Its namespace, and what that says about everything in it.
    fn place(&mut self, id: &ObjectId) {
        let Some(namespace) = &id.namespace else { return };
        self.one("Namespace", "", namespace);
        for kind in ["LimitRange", "ResourceQuota"].into_iter().filter(|kind| *kind != id.kind.kind) {
            let rules = self.index.all(kind).filter(|(_, rule)| text(rule, "/metadata/namespace") == namespace);
            self.found.extend(rules.map(|(at, _)| at));
        }
    }

    /// The definition of its kind.
    fn definition(&mut self, id: &ObjectId) {
        let definitions = self.index.all("CustomResourceDefinition").filter(|(_, definition)| {
            served::defined_by(definition)
                .iter()
                .any(|(kind, _)| kind.group == id.kind.group && kind.kind == id.kind.kind)
        });
        self.found.extend(definitions.map(|(at, _)| at));
    }

    /// What pods are made from: who they are, what that may do, what they read and mount.
    fn pods(&mut self, template: &Value) {
        let account = match text(template, "/spec/serviceAccountName") {
            "" => "default",
            name => name,
        };
        self.here("ServiceAccount", account);
        self.rights(account);
        self.one("PriorityClass.scheduling.k8s.io", "", text(template, "/spec/priorityClassName"));
        self.one("RuntimeClass.node.k8s.io", "", text(template, "/spec/runtimeClassName"));
        for secret in items(template, "/spec/imagePullSecrets") {
            self.here("Secret", text(secret, "/name"));
        }
        for volume in items(template, "/spec/volumes") {
            self.volume(volume);
        }
        for containers in ["/spec/containers", "/spec/initContainers"] {
            for container in items(template, containers) {
                self.environment(container);
            }
        }
    }

    fn volume(&mut self, volume: &Value) {
        self.here("ConfigMap", text(volume, "/configMap/name"));
        self.here("Secret", text(volume, "/secret/secretName"));
        self.here("PersistentVolumeClaim", text(volume, "/persistentVolumeClaim/claimName"));
        for source in items(volume, "/projected/sources") {
            self.here("ConfigMap", text(source, "/configMap/name"));
            self.here("Secret", text(source, "/secret/name"));
        }
    }

    fn environment(&mut self, container: &Value) {
        for source in items(container, "/envFrom") {
            self.here("ConfigMap", text(source, "/configMapRef/name"));
            self.here("Secret", text(source, "/secretRef/name"));
        }
        for variable in items(container, "/env") {
            self.here("ConfigMap", text(variable, "/valueFrom/configMapKeyRef/name"));
            self.here("Secret", text(variable, "/valueFrom/secretKeyRef/name"));
        }
    }

    /// The bindings that give `account` its rights.
    fn rights(&mut self, account: &str) {
        for kind in ["RoleBinding", "ClusterRoleBinding"] {
            let bindings = self.index.all(kind).filter(|(_, binding)| {
                items(binding, "/subjects").any(|subject| {
                    text(subject, "/kind") == "ServiceAccount"
                        && text(subject, "/name") == account
                        && text(subject, "/namespace") == self.namespace
                })
            });
            let bindings: Vec<usize> = bindings.map(|(at, _)| at).collect();
            self.found.extend(bindings);
        }
    }

    fn by_kind(&mut self, id: &ObjectId, manifest: &Value) {
        match id.kind.kind.as_str() {
            "RoleBinding" | "ClusterRoleBinding" => self.binding(manifest),
            "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" => {
                for webhook in items(manifest, "/webhooks") {
                    let service = |key| text(webhook, &format!("/clientConfig/service/{key}"));
                    self.behind(service("namespace"), service("name"));
                }
            }
            "APIService" => {
                self.behind(text(manifest, "/spec/service/namespace"), text(manifest, "/spec/service/name"))
            }
            "HorizontalPodAutoscaler" => self.autoscaler(manifest),
            "Ingress" => self.ingress(manifest),
            "IngressClass" => {
                let parameters = |key| text(manifest, &format!("/spec/parameters/{key}"));
                self.custom(parameters("apiGroup"), parameters("kind"), parameters("namespace"), parameters("name"));
            }
            "PersistentVolumeClaim" => self.storage(manifest),
            "StatefulSet" => {
                self.here("Service", text(manifest, "/spec/serviceName"));
                items(manifest, "/spec/volumeClaimTemplates").for_each(|claim| self.storage(claim));
            }
            "NodePool" => {
                let class = |key| text(manifest, &format!("/spec/template/spec/nodeClassRef/{key}"));
                self.custom(class("group"), class("kind"), "", class("name"));
                self.one("CustomResourceDefinition.apiextensions.k8s.io", "", "nodeclaims.karpenter.sh");
                self.autoscalers();
            }
            "EC2NodeClass" => self.autoscalers(),
            "Deployment" if is_autoscaler(manifest) => self.kinds_of_autoscalers(),
            "ValidatingAdmissionPolicyBinding" => self.one(
                "ValidatingAdmissionPolicy.admissionregistration.k8s.io",
                "",
                text(manifest, "/spec/policyName"),
            ),
            _ => {}
        }
    }

    fn binding(&mut self, binding: &Value) {
        let role = text(binding, "/roleRef/name");
        match text(binding, "/roleRef/kind") {
            "Role" => self.here("Role.rbac.authorization.k8s.io", role),
            _ => self.one("ClusterRole.rbac.authorization.k8s.io", "", role),
        }
        for subject in items(binding, "/subjects").filter(|subject| text(subject, "/kind") == "ServiceAccount") {
            self.one("ServiceAccount", text(subject, "/namespace"), text(subject, "/name"));
        }
    }

    /// Its target, and where its metrics come from.
    fn autoscaler(&mut self, autoscaler: &Value) {
        let target = |key| text(autoscaler, &format!("/spec/scaleTargetRef/{key}"));
        let group = target("apiVersion").split_once('/').map_or("", |(group, _)| group);
        let namespace = self.namespace.clone();
        self.custom(group, target("kind"), &namespace, target("name"));
        let sources = self.index.all("APIService").filter(|(_, service)| {
            ["metrics.k8s.io", "custom.metrics.k8s.io", "external.metrics.k8s.io"]
                .contains(&text(service, "/spec/group"))
        });
        let sources: Vec<usize> = sources.map(|(at, _)| at).collect();
        self.found.extend(sources);
    }

    fn ingress(&mut self, ingress: &Value) {
        self.one("IngressClass.networking.k8s.io", "", text(ingress, "/spec/ingressClassName"));
        self.here("Service", text(ingress, "/spec/defaultBackend/service/name"));
        for rule in items(ingress, "/spec/rules") {
            for path in items(rule, "/http/paths") {
                self.here("Service", text(path, "/backend/service/name"));
            }
        }
        for tls in items(ingress, "/spec/tls") {
            self.here("Secret", text(tls, "/secretName"));
        }
    }

    /// What says how NodePools and their classes stand, and takes their nodes away.
    fn autoscalers(&mut self) {
        let autoscalers = self.index.all("Deployment").filter(|(_, deployment)| is_autoscaler(deployment));
        let autoscalers: Vec<usize> = autoscalers.map(|(at, _)| at).collect();
        self.found.extend(autoscalers);
    }

    /// The definitions of what an autoscaler watches.
    fn kinds_of_autoscalers(&mut self) {
        for name in ["nodepools.karpenter.sh", "nodeclaims.karpenter.sh", "ec2nodeclasses.karpenter.k8s.aws"] {
            self.one("CustomResourceDefinition.apiextensions.k8s.io", "", name);
        }
    }

    fn storage(&mut self, claim: &Value) {
        self.one("StorageClass.storage.k8s.io", "", text(claim, "/spec/storageClassName"));
    }

    fn custom(&mut self, group: &str, kind: &str, namespace: &str, name: &str) {
        let group_kind = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        self.one(&group_kind, namespace, name);
    }
}

/// Whether a Deployment is a node autoscaler: eksup's, or Karpenter.
fn is_autoscaler(deployment: &Value) -> bool {
    let label = deployment.pointer("/metadata/labels").and_then(|labels| labels.get("app.kubernetes.io/name"));
    label.and_then(Value::as_str).is_some_and(|name| ["eksup-autoscaler", "karpenter"].contains(&name))
}
