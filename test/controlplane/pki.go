package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// lifetime of every certificate and token. Nothing here is renewed, so it is
// longer than anybody leaves a demo running.
const lifetime = 30 * 24 * time.Hour

// An authority signs certificates. Its key never leaves the process.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // the certificate
}

// A keyPair is a certificate and its key, in PEM.
type keyPair struct{ cert, key []byte }

// pki is everything that identities are proved with in one control plane.
type pki struct {
	clients *authority // signs the API server's certificate and its clients'
	folder  string     // where the files lie that the programs read
}

// newPKI makes the two authorities and writes the files that the programs
// read from folder: ca.crt, serving.{crt,key}, proxy-ca.crt, proxy.{crt,key} and
// sa.{key,pub}, which service account tokens are signed with.
func newPKI(folder string) (*pki, error) {
	clients, err := newAuthority("stowage-test-ca")
	if err != nil {
		return nil, err
	}
	proxy, err := newAuthority("stowage-test-proxy-ca")
	if err != nil {
		return nil, err
	}
	serving, err := clients.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
	})
	if err != nil {
		return nil, err
	}
	frontProxy, err := proxy.issue(clientTemplate("front-proxy-client"))
	if err != nil {
		return nil, err
	}
	signing, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	private, err := encodeKey(signing)
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(&signing.PublicKey)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{
		"ca.crt":       clients.pem,
		"serving.crt":  serving.cert,
		"serving.key":  serving.key,
		"proxy-ca.crt": proxy.pem,
		"proxy.crt":    frontProxy.cert,
		"proxy.key":    frontProxy.key,
		"sa.key":       private,
		"sa.pub":       pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	return &pki{clients: clients, folder: folder}, nil
}

// path is where a file of newPKI lies.
func (p *pki) path(name string) string { return filepath.Join(p.folder, name) }

// client issues the certificate that proves a user: Kubernetes reads the user's
// name from CN and its groups from O.
func (p *pki) client(user string, groups ...string) (keyPair, error) {
	return p.clients.issue(clientTemplate(user, groups...))
}

// clientTemplate is for a client: nobody can serve with it.
func clientTemplate(user string, groups ...string) *x509.Certificate {
	return &x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// newAuthority makes a key and a certificate that it signs itself.
func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := sign(template, template, key, key)
	if err != nil {
		return nil, fmt.Errorf("signing the certificate of %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key, pem: encodeCertificate(der)}, nil
}

// issue signs a certificate for a new key.
func (a *authority) issue(template *x509.Certificate) (keyPair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := sign(template, a.cert, key, a.key)
	if err != nil {
		return keyPair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	private, err := encodeKey(key)
	if err != nil {
		return keyPair{}, err
	}
	return keyPair{cert: encodeCertificate(der), key: private}, nil
}

// sign fills in what all certificates share. They begin an hour ago, for
// machines whose clock steps back.
func sign(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template.SerialNumber = serial.Add(serial, big.NewInt(1))
	template.NotBefore = now.Add(-time.Hour)
	template.NotAfter = now.Add(lifetime)
	return x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
}

func encodeCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func encodeKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}
