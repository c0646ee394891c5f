package main

// The environment of a container: what its specification says, what a kubelet adds, and what the
// pod identity webhook adds.

import (
	"context"
	"fmt"
	"regexp"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// missingReference is a ConfigMap or Secret that the environment needs and that is not there.
type missingReference struct{ words string }

func (m missingReference) Error() string { return m.words }

type environment struct {
	client   kubernetes.Interface
	pod      *corev1.Pod
	ip, host string
}

// of returns the variables of a container in their order, later ones winning.
func (e environment) of(ctx context.Context, container corev1.Container, base map[string]string) (map[string]string, error) {
	found := map[string]string{}
	for key, value := range base {
		found[key] = value
	}
	for _, from := range container.EnvFrom {
		data, err := e.source(ctx, from)
		if err != nil {
			return nil, err
		}
		for key, value := range data {
			found[from.Prefix+key] = value
		}
	}
	for _, variable := range container.Env {
		value, present, err := e.value(ctx, container, variable, found)
		if err != nil {
			return nil, err
		}
		if present {
			found[variable.Name] = value
		}
	}
	return found, nil
}

func (e environment) source(ctx context.Context, from corev1.EnvFromSource) (map[string]string, error) {
	switch {
	case from.ConfigMapRef != nil:
		return e.configMap(ctx, from.ConfigMapRef.Name, isTrue(from.ConfigMapRef.Optional))
	case from.SecretRef != nil:
		return e.secret(ctx, from.SecretRef.Name, isTrue(from.SecretRef.Optional))
	}
	return nil, nil
}

func (e environment) value(ctx context.Context, container corev1.Container, variable corev1.EnvVar, before map[string]string) (string, bool, error) {
	from := variable.ValueFrom
	if from == nil {
		return expand(variable.Value, before), true, nil
	}
	var data map[string]string
	var key string
	var optional bool
	var err error
	switch {
	case from.FieldRef != nil:
		text, err := fieldOf(e.pod, from.FieldRef.FieldPath, e.ip, e.host)
		return text, true, err
	case from.ResourceFieldRef != nil:
		return resourceField(container, from.ResourceFieldRef.Resource), true, nil
	case from.ConfigMapKeyRef != nil:
		key, optional = from.ConfigMapKeyRef.Key, isTrue(from.ConfigMapKeyRef.Optional)
		data, err = e.configMap(ctx, from.ConfigMapKeyRef.Name, optional)
	case from.SecretKeyRef != nil:
		key, optional = from.SecretKeyRef.Key, isTrue(from.SecretKeyRef.Optional)
		data, err = e.secret(ctx, from.SecretKeyRef.Name, optional)
	}
	if err != nil {
		return "", false, err
	}
	text, present := data[key]
	if !present && !optional {
		return "", false, missingReference{fmt.Sprintf("couldn't find key %s", key)}
	}
	return text, present, nil
}

func (e environment) configMap(ctx context.Context, name string, optional bool) (map[string]string, error) {
	found, err := e.client.CoreV1().ConfigMaps(e.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if optional {
			return nil, nil
		}
		return nil, missingReference{fmt.Sprintf("configmap %q not found", name)}
	}
	if err != nil {
		return nil, err
	}
	return found.Data, nil
}

func (e environment) secret(ctx context.Context, name string, optional bool) (map[string]string, error) {
	found, err := e.client.CoreV1().Secrets(e.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if optional {
			return nil, nil
		}
		return nil, missingReference{fmt.Sprintf("secret %q not found", name)}
	}
	if err != nil {
		return nil, err
	}
	data := map[string]string{}
	for key, content := range found.Data {
		data[key] = string(content)
	}
	return data, nil
}

var referenced = regexp.MustCompile(`\$(\$|\([A-Za-z_][A-Za-z0-9_.-]*\))`)

// expand replaces `$(NAME)` by the variable of this name, and `$$` by `$`; unknown names stay.
func expand(text string, variables map[string]string) string {
	return referenced.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		if value, known := variables[match[2:len(match)-1]]; known {
			return value
		}
		return match
	})
}

// fieldOf is what the downward API says about a pod.
func fieldOf(pod *corev1.Pod, path, ip, host string) (string, error) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return pod.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return pod.Annotations[key], nil
	}
	switch path {
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return ip, nil
	case "status.hostIP", "status.hostIPs":
		return host, nil
	case "metadata.labels":
		return lines(pod.Labels), nil
	case "metadata.annotations":
		return lines(pod.Annotations), nil
	}
	return "", fmt.Errorf("the field %s is not one of the downward API", path)
}

func subscript(path, name string) (string, bool) {
	rest, ok := strings.CutPrefix(path, name+"['")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, "']")
}

func lines(pairs map[string]string) string {
	var all []string
	for key, value := range pairs {
		all = append(all, fmt.Sprintf("%s=%q", key, value))
	}
	sort.Strings(all)
	return strings.Join(all, "\n")
}

// resourceField is a request or limit in whole units, as the downward API gives it by default.
func resourceField(container corev1.Container, name string) string {
	list, which, _ := strings.Cut(name, ".")
	from := container.Resources.Requests
	if list == "limits" {
		from = container.Resources.Limits
	}
	quantity := from[corev1.ResourceName(which)]
	return fmt.Sprint(quantity.Value())
}

// identityOf returns what the pod identity webhook of EKS adds to a pod: variables and tokens.
func (p *processes) identityOf(ctx context.Context, pod *corev1.Pod) (map[string]string, []projectedToken, error) {
	seen := p.fleet.now()
	region := map[string]string{"AWS_REGION": seen.Region, "AWS_DEFAULT_REGION": seen.Region, "AWS_STS_REGIONAL_ENDPOINTS": "regional"}
	for _, association := range seen.Associations {
		if association.Namespace == pod.Namespace && association.Name == pod.Spec.ServiceAccountName {
			region["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = "http://169.254.170.23/v1/credentials"
			region["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = podIdentityFolder + "/eks-pod-identity-token"
			return region, []projectedToken{{"identity/pod/eks-pod-identity-token", "pods.eks.amazonaws.com", 86400}}, nil
		}
	}
	account, err := p.client.CoreV1().ServiceAccounts(pod.Namespace).Get(ctx, pod.Spec.ServiceAccountName, metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	role := account.Annotations["eks.amazonaws.com/role-arn"]
	if role == "" {
		return nil, nil, nil
	}
	audience := account.Annotations["eks.amazonaws.com/audience"]
	if audience == "" {
		audience = "sts.amazonaws.com"
	}
	region["AWS_ROLE_ARN"] = role
	region["AWS_WEB_IDENTITY_TOKEN_FILE"] = webIdentityFolder + "/token"
	return region, []projectedToken{{"identity/web/token", audience, 86400}}, nil
}

const (
	webIdentityFolder = "/var/run/secrets/eks.amazonaws.com/serviceaccount"
	podIdentityFolder = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
)
