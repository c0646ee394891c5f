package main

// What the user data of an instance asks of its kubelet: AL2023's NodeConfig, or Bottlerocket's TOML.

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// kubeletConfig is what user data says, of any family.
type kubeletConfig struct {
	Cluster        string
	Endpoint       string
	Authority      string
	ServiceCIDR    string
	Labels         map[string]string
	Taints         []corev1.Taint
	MaxPods        int64
	PodsPerCore    int64
	KubeReserved   map[string]string
	SystemReserved map[string]string
	EvictionHard   map[string]string
	Bottlerocket   bool
	// Given says that there was a configuration at all.
	Given bool
}

type nodeConfig struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Cluster struct {
			Name                 string `json:"name"`
			APIServerEndpoint    string `json:"apiServerEndpoint"`
			CertificateAuthority string `json:"certificateAuthority"`
			CIDR                 string `json:"cidr"`
		} `json:"cluster"`
		Kubelet struct {
			Config struct {
				MaxPods            int64             `json:"maxPods"`
				PodsPerCore        int64             `json:"podsPerCore"`
				KubeReserved       map[string]string `json:"kubeReserved"`
				SystemReserved     map[string]string `json:"systemReserved"`
				EvictionHard       map[string]string `json:"evictionHard"`
				RegisterWithTaints []corev1.Taint    `json:"registerWithTaints"`
			} `json:"config"`
			Flags []string `json:"flags"`
		} `json:"kubelet"`
	} `json:"spec"`
}

// parseUserData reads user data of any family. Later NodeConfigs win over earlier ones, as nodeadm
// merges them.
func parseUserData(text string) (kubeletConfig, error) {
	config := kubeletConfig{Labels: map[string]string{}}
	if strings.TrimSpace(text) == "" {
		return config, nil
	}
	if strings.Contains(text, "[settings") {
		return config, parseBottlerocket(text, &config)
	}
	parts, err := mimeParts(text)
	if err != nil {
		return config, err
	}
	for _, part := range parts {
		for _, document := range strings.Split("\n"+part, "\n---") {
			if !strings.Contains(document, "node.eks.aws/") {
				continue
			}
			if err := applyNodeConfig(document, &config); err != nil {
				return config, err
			}
		}
	}
	return config, nil
}

// mimeParts returns the parts of a MIME document; the whole text when it is none.
func mimeParts(text string) ([]string, error) {
	if !strings.HasPrefix(strings.TrimSpace(strings.ToLower(text)), "mime-version") &&
		!strings.HasPrefix(strings.TrimSpace(strings.ToLower(text)), "content-type") {
		return []string{text}, nil
	}
	message, err := mail.ReadMessage(strings.NewReader(strings.TrimLeft(text, " \r\n")))
	if err != nil {
		return nil, fmt.Errorf("user data: its MIME head cannot be read: %w", err)
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil {
		return nil, fmt.Errorf("user data: its MIME type cannot be read: %w", err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		body, err := io.ReadAll(message.Body)
		return []string{string(body)}, err
	}
	var parts []string
	reader := multipart.NewReader(message.Body, parameters["boundary"])
	for {
		part, err := reader.NextPart()
		if err == io.EOF {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("user data: a MIME part cannot be read: %w", err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, fmt.Errorf("user data: a MIME part cannot be read: %w", err)
		}
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			plain := bytes.Map(func(r rune) rune {
				if r == '\n' || r == '\r' {
					return -1
				}
				return r
			}, body)
			if body, err = base64.StdEncoding.DecodeString(string(plain)); err != nil {
				return nil, fmt.Errorf("user data: a MIME part is no base64: %w", err)
			}
		}
		parts = append(parts, string(body))
	}
}

func applyNodeConfig(document string, config *kubeletConfig) error {
	var node nodeConfig
	if err := yaml.Unmarshal([]byte(document), &node); err != nil {
		return fmt.Errorf("user data: the NodeConfig cannot be read: %w", err)
	}
	if node.Kind != "NodeConfig" {
		return nil
	}
	config.Given = true
	cluster, kubelet := node.Spec.Cluster, node.Spec.Kubelet.Config
	override(&config.Cluster, cluster.Name)
	override(&config.Endpoint, cluster.APIServerEndpoint)
	override(&config.Authority, cluster.CertificateAuthority)
	override(&config.ServiceCIDR, cluster.CIDR)
	if kubelet.MaxPods > 0 {
		config.MaxPods = kubelet.MaxPods
	}
	if kubelet.PodsPerCore > 0 {
		config.PodsPerCore = kubelet.PodsPerCore
	}
	config.KubeReserved = merged(config.KubeReserved, kubelet.KubeReserved)
	config.SystemReserved = merged(config.SystemReserved, kubelet.SystemReserved)
	config.EvictionHard = merged(config.EvictionHard, kubelet.EvictionHard)
	if len(kubelet.RegisterWithTaints) > 0 {
		config.Taints = append([]corev1.Taint{}, kubelet.RegisterWithTaints...)
	}
	return applyFlags(node.Spec.Kubelet.Flags, config)
}

// applyFlags reads the kubelet's own flags, given as `--name=value` or as two words.
func applyFlags(flags []string, config *kubeletConfig) error {
	var words []string
	for _, flag := range flags {
		words = append(words, strings.Fields(flag)...)
	}
	for index := 0; index < len(words); index++ {
		name, value, found := strings.Cut(words[index], "=")
		if !found && index+1 < len(words) && !strings.HasPrefix(words[index+1], "--") {
			index++
			value = words[index]
		}
		switch strings.TrimLeft(name, "-") {
		case "node-labels":
			for key, text := range pairs(value) {
				config.Labels[key] = text
			}
		case "register-with-taints":
			taints, err := parseTaints(value)
			if err != nil {
				return err
			}
			config.Taints = append(config.Taints, taints...)
		case "max-pods":
			count, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return fmt.Errorf("user data: --max-pods is no number: %w", err)
			}
			config.MaxPods = count
		case "kube-reserved":
			config.KubeReserved = merged(config.KubeReserved, pairs(value))
		case "system-reserved":
			config.SystemReserved = merged(config.SystemReserved, pairs(value))
		}
	}
	return nil
}

// parseTaints reads `key=value:Effect,…`.
func parseTaints(text string) ([]corev1.Taint, error) {
	var taints []corev1.Taint
	for _, entry := range strings.Split(text, ",") {
		if entry == "" {
			continue
		}
		at := strings.LastIndex(entry, ":")
		if at < 0 {
			return nil, fmt.Errorf("user data: the taint `%s` has no effect", entry)
		}
		key, value, _ := strings.Cut(entry[:at], "=")
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(entry[at+1:])})
	}
	return taints, nil
}

func pairs(text string) map[string]string {
	found := map[string]string{}
	for _, entry := range strings.Split(strings.Trim(text, `"'`), ",") {
		if key, value, ok := strings.Cut(entry, "="); ok {
			found[key] = value
		}
	}
	return found
}

func parseBottlerocket(text string, config *kubeletConfig) error {
	var document struct {
		Settings struct {
			Kubernetes map[string]any `toml:"kubernetes"`
		} `toml:"settings"`
	}
	if _, err := toml.Decode(text, &document); err != nil {
		return fmt.Errorf("user data: the TOML cannot be read: %w", err)
	}
	config.Given, config.Bottlerocket = true, true
	settings := document.Settings.Kubernetes
	config.Cluster = asText(settings["cluster-name"])
	config.Endpoint = asText(settings["api-server"])
	config.Authority = asText(settings["cluster-certificate"])
	if count, err := strconv.ParseInt(asText(settings["max-pods"]), 10, 64); err == nil {
		config.MaxPods = count
	}
	config.Labels = asTexts(settings["node-labels"])
	config.KubeReserved = asTexts(settings["kube-reserved"])
	config.SystemReserved = asTexts(settings["system-reserved"])
	config.EvictionHard = asTexts(settings["eviction-hard"])
	taints, _ := settings["node-taints"].(map[string]any)
	for key, values := range taints {
		list, isList := values.([]any)
		if !isList {
			list = []any{values}
		}
		for _, entry := range list {
			value, effect, _ := strings.Cut(asText(entry), ":")
			config.Taints = append(config.Taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
		}
	}
	return nil
}

func asText(value any) string {
	if value == nil {
		return ""
	}
	return fmt.Sprint(value)
}

func asTexts(value any) map[string]string {
	found := map[string]string{}
	table, _ := value.(map[string]any)
	for key, entry := range table {
		found[key] = asText(entry)
	}
	return found
}

func override(target *string, value string) {
	if value != "" {
		*target = value
	}
}

func merged(below, above map[string]string) map[string]string {
	result := map[string]string{}
	for key, value := range below {
		result[key] = value
	}
	for key, value := range above {
		result[key] = value
	}
	return result
}
