package main

// Serving certificates of the kubelets: signed by the cluster's authority, as on EKS, when its key is
// given; by themselves otherwise.

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"
)

type certificates struct {
	authority *x509.Certificate
	signer    crypto.Signer

	mutex sync.Mutex
	made  map[string]*tls.Certificate
}

// newCertificates reads the authority from two files, if there are any.
func newCertificates(certificateFile, keyFile string) (*certificates, error) {
	made := &certificates{made: map[string]*tls.Certificate{}}
	if certificateFile == "" || keyFile == "" {
		return made, nil
	}
	pair, err := tls.LoadX509KeyPair(certificateFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's certificate authority: %w", err)
	}
	if made.authority, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
		return nil, fmt.Errorf("reading the cluster's certificate authority: %w", err)
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key of the cluster's certificate authority cannot sign")
	}
	made.signer = signer
	return made, nil
}

// of returns the certificate of a node, made on first use.
func (c *certificates) of(node, address string) (*tls.Certificate, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if known := c.made[node]; known != nil {
		return known, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	number, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	wanted := &x509.Certificate{
		SerialNumber: number,
		Subject:      pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}},
		NotBefore:    now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{node}, IPAddresses: []net.IP{net.ParseIP(address)},
	}
	parent, signer := wanted, crypto.Signer(key)
	if c.authority != nil {
		parent, signer = c.authority, c.signer
	}
	signed, err := x509.CreateCertificate(rand.Reader, wanted, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	c.made[node] = &tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
	return c.made[node], nil
}
