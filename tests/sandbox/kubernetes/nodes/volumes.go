package main

// The volumes of a pod that runs as processes: folders that are filled, and kept up to date.

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// refreshEvery is how often changed ConfigMaps and Secrets reach a pod; a kubelet takes about a minute.
const refreshEvery = 5 * time.Second

// volumes of one pod, below one folder.
type volumes struct {
	client kubernetes.Interface
	pod    *corev1.Pod
	host   string // The node's address.
	ip     string
	folder string
	// file -> when its token has to be made anew
	renew map[string]time.Time
	// Projected tokens that the pod's specification does not have: the webhook's part.
	tokens []projectedToken
}

// projectedToken is a file with a token of the pod's service account.
type projectedToken struct {
	path     string // Below the volumes' folder.
	audience string
	seconds  int64
}

func (v *volumes) path(name string) string { return filepath.Join(v.folder, "volumes", name) }

// fill brings every volume up to date. The error says what is missing.
func (v *volumes) fill(ctx context.Context) error {
	for _, volume := range v.pod.Spec.Volumes {
		if err := v.fillOne(ctx, volume); err != nil {
			return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", volume.Name, err)
		}
	}
	for _, token := range v.tokens {
		if err := v.token(ctx, filepath.Join(v.folder, token.path), token.audience, token.seconds); err != nil {
			return err
		}
	}
	return nil
}

func (v *volumes) fillOne(ctx context.Context, volume corev1.Volume) error {
	folder := v.path(volume.Name)
	if volume.HostPath != nil {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	switch {
	case volume.Secret != nil:
		return v.secret(ctx, folder, volume.Secret.SecretName, volume.Secret.Items, isTrue(volume.Secret.Optional))
	case volume.ConfigMap != nil:
		return v.configMap(ctx, folder, volume.ConfigMap.Name, volume.ConfigMap.Items, isTrue(volume.ConfigMap.Optional))
	case volume.DownwardAPI != nil:
		return v.downward(folder, volume.DownwardAPI.Items)
	case volume.Projected != nil:
		return v.projected(ctx, folder, volume.Projected.Sources)
	}
	return nil // Empty, or a disk that is as good as one.
}

func (v *volumes) projected(ctx context.Context, folder string, sources []corev1.VolumeProjection) error {
	for _, source := range sources {
		var err error
		switch {
		case source.ServiceAccountToken != nil:
			seconds := int64(3600)
			if source.ServiceAccountToken.ExpirationSeconds != nil {
				seconds = *source.ServiceAccountToken.ExpirationSeconds
			}
			err = v.token(ctx, filepath.Join(folder, source.ServiceAccountToken.Path), source.ServiceAccountToken.Audience, seconds)
		case source.ConfigMap != nil:
			err = v.configMap(ctx, folder, source.ConfigMap.Name, source.ConfigMap.Items, isTrue(source.ConfigMap.Optional))
		case source.Secret != nil:
			err = v.secret(ctx, folder, source.Secret.Name, source.Secret.Items, isTrue(source.Secret.Optional))
		case source.DownwardAPI != nil:
			err = v.downward(folder, source.DownwardAPI.Items)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// token asks for a token of the pod's service account when there is none, or it is four fifths old.
func (v *volumes) token(ctx context.Context, file, audience string, seconds int64) error {
	if time.Now().Before(v.renew[file]) {
		return nil
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: v.pod.Name, UID: v.pod.UID},
	}}
	if audience != "" {
		request.Spec.Audiences = []string{audience}
	}
	account := v.pod.Spec.ServiceAccountName
	answer, err := v.client.CoreV1().ServiceAccounts(v.pod.Namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("failed to fetch token: %w", err)
	}
	if err := replaceFile(file, []byte(answer.Status.Token)); err != nil {
		return err
	}
	v.renew[file] = time.Now().Add(time.Duration(seconds) * time.Second * 4 / 5)
	return nil
}

func (v *volumes) secret(ctx context.Context, folder, name string, items []corev1.KeyToPath, optional bool) error {
	secret, err := v.client.CoreV1().Secrets(v.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional {
		return nil
	}
	if err != nil {
		return err
	}
	return writeKeys(folder, secret.Data, items)
}

func (v *volumes) configMap(ctx context.Context, folder, name string, items []corev1.KeyToPath, optional bool) error {
	found, err := v.client.CoreV1().ConfigMaps(v.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) && optional {
		return nil
	}
	if err != nil {
		return err
	}
	data := map[string][]byte{}
	for key, text := range found.Data {
		data[key] = []byte(text)
	}
	for key, content := range found.BinaryData {
		data[key] = content
	}
	return writeKeys(folder, data, items)
}

func (v *volumes) downward(folder string, items []corev1.DownwardAPIVolumeFile) error {
	for _, item := range items {
		if item.FieldRef == nil {
			continue
		}
		text, err := fieldOf(v.pod, item.FieldRef.FieldPath, v.ip, v.host)
		if err != nil {
			return err
		}
		if err := replaceFile(filepath.Join(folder, item.Path), []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

// writeKeys writes the keys that are asked for, or all of them.
func writeKeys(folder string, data map[string][]byte, items []corev1.KeyToPath) error {
	if len(items) == 0 {
		for key, content := range data {
			if err := replaceFile(filepath.Join(folder, key), content); err != nil {
				return err
			}
		}
		return nil
	}
	for _, item := range items {
		content, found := data[item.Key]
		if !found {
			return fmt.Errorf("references non-existent key: %s", item.Key)
		}
		if err := replaceFile(filepath.Join(folder, item.Path), content); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file so that nobody ever reads half of it; not at all if it is right already.
func replaceFile(path string, content []byte) error {
	if present, err := os.ReadFile(path); err == nil && string(present) == string(content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	fresh := filepath.Join(filepath.Dir(path), "..new-"+filepath.Base(path))
	if err := os.WriteFile(fresh, content, 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
