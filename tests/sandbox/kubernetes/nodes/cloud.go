package main

// What the cloud tells about a cluster: its instances, and what a test has set for its pods.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// cloud is the way to the cloud's own paths.
type cloud struct {
	address string
	cluster string
	region  string
	client  *http.Client
}

// instance is one instance of EC2 that belongs to the cluster.
type instance struct {
	ID           string  `json:"id"`
	Stage        string  `json:"stage"` // off, booting, up, down
	Type         string  `json:"type"`
	Zone         string  `json:"zone"`
	ZoneID       string  `json:"zoneId"`
	Subnet       string  `json:"subnet"`
	PrivateIP    string  `json:"privateIp"`
	PublicIP     string  `json:"publicIp"`
	ImageID      string  `json:"imageId"`
	ImageName    string  `json:"imageName"`
	Architecture string  `json:"architecture"`
	Lifecycle    string  `json:"lifecycle"`
	UserData     int     `json:"userData"`
	Nodegroup    string  `json:"nodegroup"`
	RootGiB      int64   `json:"rootGib"`
	Refused      *string `json:"refused"`
	NeverReady   bool    `json:"neverReady"`
	Silent       bool    `json:"silent"`
}

// nodegroup is what EKS knows about the nodes of a managed node group.
type nodegroup struct {
	Labels map[string]string `json:"labels"`
	Taints []struct {
		Key    string `json:"key"`
		Value  string `json:"value"`
		Effect string `json:"effect"`
	} `json:"taints"`
	CapacityType          string `json:"capacityType"`
	LaunchTemplateID      string `json:"launchTemplateId"`
	LaunchTemplateVersion string `json:"launchTemplateVersion"`
	CustomImage           bool   `json:"customImage"`
}

// serviceAccount names one.
type serviceAccount struct {
	Namespace string `json:"namespace"`
	Name      string `json:"serviceAccount"`
}

// view is everything at one moment.
type view struct {
	Version        string                  `json:"version"`
	Unchanged      bool                    `json:"unchanged"`
	Gone           bool                    `json:"gone"`
	Region         string                  `json:"region"`
	Endpoint       string                  `json:"endpoint"`
	Authority      string                  `json:"authority"`
	Kubernetes     string                  `json:"kubernetes"`
	NetworkReady   bool                    `json:"networkReady"`
	Agent          bool                    `json:"agent"`
	PodSeconds     float64                 `json:"podSeconds"`
	PodGoneSeconds float64                 `json:"podGoneSeconds"`
	Rules          []podRule               `json:"rules"`
	Load           []loadSetting           `json:"load"`
	Nodegroups     map[string]nodegroup    `json:"nodegroups"`
	Subnets        map[string]string       `json:"subnets"`
	Associations   []serviceAccount        `json:"associations"`
	Instances      []instance              `json:"instances"`
	UserData       []string                `json:"userData"`
	Types          map[string]instanceType `json:"types"`
}

// see waits until the cloud differs from the version that is known.
func (c *cloud) see(ctx context.Context, known string, wait time.Duration) (*view, error) {
	question := url.Values{"cluster": {c.cluster}, "region": {c.region}, "known": {known}, "wait": {fmt.Sprint(wait.Seconds())}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.address+"/sandbox/nodes?"+question.Encode(), nil)
	if err != nil {
		return nil, err
	}
	var seen view
	if err := c.ask(request, &seen); err != nil {
		return nil, err
	}
	return &seen, nil
}

// credentialsFor asks for the credentials that pod identity gives a service account.
func (c *cloud) credentialsFor(ctx context.Context, who serviceAccount, pod string) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]string{
		"cluster": c.cluster, "region": c.region, "namespace": who.Namespace, "serviceAccount": who.Name, "pod": pod,
	})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.address+"/sandbox/nodes/credentials", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var answer json.RawMessage
	err = c.ask(request, &answer)
	return answer, err
}

func (c *cloud) ask(request *http.Request, into any) error {
	response, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("asking the cloud: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the cloud's answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the cloud answers %d: %s", response.StatusCode, bytes.TrimSpace(body))
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("reading the cloud's answer: %w", err)
	}
	return nil
}
