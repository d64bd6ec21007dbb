package apiserver

import (
	"fmt"
	"net"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// writeKubeconfig writes the file by which clients find the server. It has no secrets: a
// client adds its own token or certificate.
func (s *Server) writeKubeconfig(at net.Addr) error {
	const name = "homeostat"
	c := api.NewConfig()
	c.Clusters[name] = &api.Cluster{Server: s.urlOf(at), InsecureSkipTLSVerify: s.options.Serving.SelfSigned}
	c.Contexts[name] = &api.Context{Cluster: name, Namespace: "default"}
	c.CurrentContext = name
	if err := clientcmd.WriteToFile(*c, s.options.Kubeconfig); err != nil {
		return fmt.Errorf("write the kubeconfig %s: %w", s.options.Kubeconfig, err)
	}
	return nil
}
