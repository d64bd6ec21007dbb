// Command kubectl is Kubernetes' command line client, built from its own module, so that
// the tests of package apiserver need no installed one:
//
//	go build -o kubectl . && ./kubectl --server=http://127.0.0.1:8001 get pods
//
// Its test runs the commands of testdata/session.txt against a server.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
)

func main() { os.Exit(cli.Run(cmd.NewDefaultKubectlCommand())) }
