// Every part of a Kubernetes cluster in one program; the first argument chooses the part.
package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	part, arguments := os.Args[1], os.Args[2:]
	os.Args = append([]string{part}, arguments...)
	var command *cobra.Command
	switch part {
	case "etcd":
		if err := etcd(arguments[0], arguments[1], arguments[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	case "apiserver":
		command = apiserver.NewAPIServerCommand()
	case "controllers":
		command = controllers.NewControllerManagerCommand()
	case "scheduler":
		command = scheduler.NewSchedulerCommand()
	case "kubelet":
		command = kubelet.NewKubeletCommand(context.Background())
	default:
		fmt.Fprintln(os.Stderr, "no such part:", part)
		os.Exit(2)
	}
	os.Exit(cli.Run(command))
}

// etcd keeps its data in folder, and listens for clients and for peers, of which there are none.
func etcd(folder, clients, peers string) error {
	forClients, err := url.Parse(clients)
	if err != nil {
		return err
	}
	forPeers, err := url.Parse(peers)
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir, config.LogLevel = folder, "warn"
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*forClients}, []url.URL{*forClients}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*forPeers}, []url.URL{*forPeers}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	<-asked
	server.Close()
	return nil
}
