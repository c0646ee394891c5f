// The simulated nodes of one cluster of the local cloud: every instance of EC2 that may join becomes a
// Node that heartbeats; pods that are bound to it run, as real processes where their image is a program
// of this machine, otherwise by the clock; kubelets tell metrics-server the load that a test has set.
//
// This is a stand-in for kubelets, for the cloud's node controllers and for EKS's pod identity webhook.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const lookEvery = 10 * time.Second

type arguments struct {
	kubeconfig, cloud, cluster, region, folder string
	server                                     string
	caCertificate, caKey                       string
	noNetwork, noLifeline                      bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == containArgument {
		fmt.Fprintln(os.Stderr, "sandbox:", contain())
		os.Exit(128)
	}
	if err := run(parse()); err != nil && !errors.Is(err, context.Canceled) {
		say("%v", err)
		os.Exit(1)
	}
}

func parse() arguments {
	var asked arguments
	flag.StringVar(&asked.kubeconfig, "kubeconfig", "", "an administrator's way to the API server")
	flag.StringVar(&asked.server, "server", "", "address of the API server as pods have it; the kubeconfig's when left out")
	flag.StringVar(&asked.cloud, "cloud", "", "address of the cloud, as pods reach it too")
	flag.StringVar(&asked.cluster, "cluster", "", "name of the cluster")
	flag.StringVar(&asked.region, "region", "", "region of the cluster; any when left out")
	flag.StringVar(&asked.folder, "folder", "", "where pods have their files and logs")
	flag.StringVar(&asked.caCertificate, "ca-certificate", "", "the cluster's authority, to sign the kubelets' certificates")
	flag.StringVar(&asked.caKey, "ca-key", "", "its key")
	flag.BoolVar(&asked.noNetwork, "no-network", false, "touch no network: no processes, no kubelet API")
	flag.BoolVar(&asked.noLifeline, "no-lifeline", false, "go on when standard input ends")
	flag.Parse()
	return asked
}

func run(asked arguments) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if !asked.noLifeline {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	config, err := clientcmd.BuildConfigFromFlags("", asked.kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	client, server, err := connect(config, asked.server)
	if err != nil {
		return err
	}
	certificates, err := newCertificates(asked.caCertificate, asked.caKey)
	if err != nil {
		return err
	}
	network := &network{off: asked.noNetwork}
	if err := network.prepare(); err != nil {
		return err
	}
	fleet := newFleet(client, network)
	processes := &processes{
		client: client, fleet: fleet, network: network, folder: asked.folder, cloud: asked.cloud, server: server, images: imagesFrom(os.Environ()),
	}
	pods := newPods(client, fleet, processes)
	processes.event = pods.event
	fleet.onChange = pods.nodeChanged
	failed := make(chan error, 3)
	go func() { failed <- pods.run(ctx) }()
	go fleet.run(ctx)
	if !network.off {
		go func() { failed <- newKubelets(pods, certificates).serve(ctx) }()
	}
	say("simulated nodes of cluster %s: a stand-in for kubelets and their controllers", asked.cluster)
	watcher := &cloud{address: asked.cloud, cluster: asked.cluster, region: asked.region, client: &http.Client{Timeout: time.Minute}}
	go func() { failed <- watch(ctx, watcher, fleet, pods) }()
	err = <-failed
	stop()
	pods.endAll()
	return err
}

func connect(config *rest.Config, podsServer string) (*kubernetes.Clientset, *url.URL, error) {
	config.QPS, config.Burst = -1, -1
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	config.UserAgent = "sandbox-nodes"
	if podsServer == "" {
		podsServer = config.Host
	}
	server, err := url.Parse(podsServer)
	if err != nil {
		return nil, nil, fmt.Errorf("the API server's address `%s`: %w", podsServer, err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, nil, fmt.Errorf("the way to the API server: %w", err)
	}
	return client, server, nil
}

// watch follows the cloud until the cluster is gone.
func watch(ctx context.Context, cloud *cloud, fleet *fleet, pods *pods) error {
	known := ""
	for ctx.Err() == nil {
		seen, err := cloud.see(ctx, known, lookEvery)
		switch {
		case err != nil:
			if ctx.Err() == nil {
				say("%v", err)
			}
			sleep(ctx, time.Second)
			continue
		case seen.Unchanged:
			continue
		case seen.Gone:
			say("the cluster is gone")
			return nil
		}
		known = seen.Version
		before := fleet.now()
		fleet.see(seen)
		pods.loads.set(seen.Load)
		if fmt.Sprint(before.Rules) != fmt.Sprint(seen.Rules) || before.PodSeconds != seen.PodSeconds {
			pods.everythingChanged()
		}
	}
	return ctx.Err()
}

// endAll ends every process at once.
func (p *pods) endAll() {
	p.mutex.RLock()
	defer p.mutex.RUnlock()
	for _, entry := range p.entries {
		entry.runner.forget()
	}
}

func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, time.Now().UTC().Format("15:04:05.000 ")+format+"\n", values...)
}
