// The control plane of a cluster of the local cloud: one program, whose first argument picks the
// component.
package main

import (
	"fmt"
	"os"

	"eksup.dev/sandbox/control-plane/front"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

func main() {
	component := ""
	if len(os.Args) > 1 {
		component = os.Args[1]
		os.Args = append([]string{component}, os.Args[2:]...)
	}
	var command *cobra.Command
	switch component {
	case "etcd":
		// Its default reserves 128 MB for the log of a cluster that writes one or two.
		wal.SegmentSizeBytes = 4 << 20
		etcdmain.Main(os.Args)
		return
	case "front":
		front.Main(os.Args[1:])
		return
	case "kube-apiserver":
		command = apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		command = controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	default:
		fmt.Fprintln(os.Stderr, "usage: control-plane etcd|front|kube-apiserver|kube-controller-manager|kube-scheduler [FLAG…]")
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}
