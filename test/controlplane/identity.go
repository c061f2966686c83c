package controlplane

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// RESTConfig returns a configuration that may do everything, without a limit of
// requests per second. The copy is the caller's.
func (cp *ControlPlane) RESTConfig() *rest.Config { return rest.CopyConfig(cp.admin) }

// Kubeconfig returns the path of a kubeconfig that may do everything.
func (cp *ControlPlane) Kubeconfig() string { return cp.adminKubeconfig }

// ConfigFor returns a configuration for a user and its groups, proved by a
// certificate. The user may do what RBAC allows it and no more; one that is in
// the group system:masters may do everything.
func (cp *ControlPlane) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	pair, err := cp.pki.client(user, groups...)
	if err != nil {
		return nil, fmt.Errorf("issuing a certificate to %s: %w", user, err)
	}
	config := cp.anonymous()
	config.CertData, config.KeyData = pair.cert, pair.key
	return config, nil
}

// ServiceAccountConfig returns a configuration that acts as a ServiceAccount
// that exists, with a token that the API server issued to it, as a pod's would
// be. The limit of requests per second is client-go's default, so that the
// program under test brings its own.
func (cp *ControlPlane) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	seconds := int64(lifetime.Seconds())
	request := authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	path := "/api/v1/namespaces/" + namespace + "/serviceaccounts/" + name + "/token"
	if err := cp.request(ctx, http.MethodPost, path, &request, &request); err != nil {
		return nil, fmt.Errorf("requesting a token for the ServiceAccount %s/%s: %w", namespace, name, err)
	}
	config := cp.anonymous()
	config.BearerToken = request.Status.Token
	config.QPS = 0
	return config, nil
}

// WriteKubeconfig writes a configuration of this control plane to the file
// name.kubeconfig in its folder and returns the file's path. The file is
// whole in itself: it can be read from any working folder.
func (cp *ControlPlane) WriteKubeconfig(name string, config *rest.Config) (string, error) {
	path := filepath.Join(cp.dir, name+".kubeconfig")
	file := clientcmdapi.NewConfig()
	file.Clusters["stowage"] = &clientcmdapi.Cluster{
		Server:                   config.Host,
		CertificateAuthorityData: config.CAData,
	}
	file.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData,
		ClientKeyData:         config.KeyData,
		Token:                 config.BearerToken,
	}
	file.Contexts["stowage"] = &clientcmdapi.Context{Cluster: "stowage", AuthInfo: name}
	file.CurrentContext = "stowage"
	if err := clientcmd.WriteToFile(*file, path); err != nil {
		return "", fmt.Errorf("writing the kubeconfig of %s: %w", name, err)
	}
	return path, nil
}

// anonymous trusts the API server and proves nobody.
func (cp *ControlPlane) anonymous() *rest.Config {
	return &rest.Config{
		Host:            "https://" + address(cp.ports.apiserver),
		TLSClientConfig: rest.TLSClientConfig{CAData: cp.pki.clients.pem},
		QPS:             -1,
	}
}
