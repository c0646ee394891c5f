package main

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

const nodeConfigText = `apiVersion: node.eks.aws/v1alpha1
kind: NodeConfig
spec:
  cluster:
    name: shop
    apiServerEndpoint: https://example.eks.amazonaws.com
    certificateAuthority: Y2E=
    cidr: 172.20.0.0/16
  kubelet:
    config:
      maxPods: 42
      kubeReserved: {cpu: 100m}
      evictionHard: {memory.available: 5%}
      registerWithTaints:
        - {key: karpenter.sh/unregistered, effect: NoExecute}
    flags:
      - --node-labels="karpenter.sh/nodepool=default,team=web"
      - --register-with-taints=team=web:NoSchedule
`

func check(t *testing.T, what string, got, wanted any) {
	t.Helper()
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
}

func parsed(t *testing.T, text string) kubeletConfig {
	t.Helper()
	config, err := parseUserData(text)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestANodeConfigIsReadInFull(t *testing.T) {
	config := parsed(t, nodeConfigText)
	check(t, "cluster", config.Cluster, "shop")
	check(t, "endpoint", config.Endpoint, "https://example.eks.amazonaws.com")
	check(t, "max pods", config.MaxPods, int64(42))
	check(t, "labels", config.Labels, map[string]string{"karpenter.sh/nodepool": "default", "team": "web"})
	check(t, "taints", config.Taints, []corev1.Taint{
		{Key: "karpenter.sh/unregistered", Effect: corev1.TaintEffectNoExecute},
		{Key: "team", Value: "web", Effect: corev1.TaintEffectNoSchedule},
	})
}

func TestOfSeveralPartsTheLaterNodeConfigWins(t *testing.T) {
	first := strings.Replace(nodeConfigText, "maxPods: 42", "maxPods: 7", 1)
	parts := []string{
		"MIME-Version: 1.0", `Content-Type: multipart/mixed; boundary="//"`, "",
		"--//", "Content-Type: application/node.eks.aws", "", first,
		"--//", `Content-Type: text/x-shellscript; charset="us-ascii"`, "", "#!/bin/bash\necho hello",
		"--//", "Content-Type: application/node.eks.aws", "Content-Transfer-Encoding: base64", "",
		base64.StdEncoding.EncodeToString([]byte(nodeConfigText)), "--//--", "",
	}
	config := parsed(t, strings.Join(parts, "\n"))
	check(t, "max pods", config.MaxPods, int64(42))
	check(t, "cluster", config.Cluster, "shop")
}

func TestBottlerocketsSettingsAreRead(t *testing.T) {
	config := parsed(t, `
[settings.kubernetes]
cluster-name = "shop"
api-server = "https://example"
cluster-certificate = "Y2E="
max-pods = 58
[settings.kubernetes.node-labels]
"karpenter.sh/nodepool" = "default"
[settings.kubernetes.node-taints]
"karpenter.sh/unregistered" = [":NoExecute"]
dedicated = ["web:NoSchedule"]
[settings.kubernetes.kube-reserved]
cpu = "70m"
`)
	check(t, "cluster", config.Cluster, "shop")
	check(t, "max pods", config.MaxPods, int64(58))
	check(t, "labels", config.Labels, map[string]string{"karpenter.sh/nodepool": "default"})
	check(t, "reserved", config.KubeReserved, map[string]string{"cpu": "70m"})
	check(t, "taints", len(config.Taints), 2)
	for _, taint := range config.Taints {
		if taint.Key == "dedicated" {
			check(t, "taint", taint, corev1.Taint{Key: "dedicated", Value: "web", Effect: corev1.TaintEffectNoSchedule})
		}
	}
}

func TestBrokenUserDataIsAnErrorAndNoPanic(t *testing.T) {
	for _, text := range []string{
		"MIME-Version: 1.0\nContent-Type: multipart/mixed\n\nnothing",
		"[settings.kubernetes\ncluster-name",
		"apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec: [",
	} {
		if _, err := parseUserData(text); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
	check(t, "a script is no configuration", parsed(t, "#!/bin/bash\n/etc/eks/bootstrap.sh shop").Given, false)
	check(t, "none is no configuration", parsed(t, "").Given, false)
}
