// Package front is the door of a cluster: everybody who is not part of the control plane comes
// through here to the API server.
//
// It ends TLS with the cluster's own certificate and hands every request on as it is, watches and
// upgrades included. Standing there, it can do what a test asks of it (mischief.go): be slow, fail,
// lose answers, or have the caller killed at its n-th change.
package front

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
)

// outside marks the requests that came in from outside of the namespace.
type outside struct{}

type options struct {
	outsideDescriptor int
	inside            string
	upstream          string
	cloud             string
	authority         string
	certificate       string
	key               string
	proxyCertificate  string
	proxyKey          string
}

// Main runs the door until its standard input ends. Each line of it is a mischief as JSON.
func Main(arguments []string) {
	var o options
	flags := flag.NewFlagSet("front", flag.ExitOnError)
	flags.IntVar(&o.outsideDescriptor, "outside-descriptor", 3, "a listening socket from outside of the namespace")
	flags.StringVar(&o.inside, "inside", "", "address and port to listen on inside")
	flags.StringVar(&o.upstream, "upstream", "", "address and port of the API server")
	flags.StringVar(&o.cloud, "cloud", "", "URL under which the cloud kills a caller")
	flags.StringVar(&o.authority, "authority", "", "certificate of the cluster's authority")
	flags.StringVar(&o.certificate, "certificate", "", "certificate to serve with")
	flags.StringVar(&o.key, "key", "", "key to serve with")
	flags.StringVar(&o.proxyCertificate, "proxy-certificate", "", "certificate to vouch for callers with")
	flags.StringVar(&o.proxyKey, "proxy-key", "", "key to vouch for callers with")
	_ = flags.Parse(arguments)
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "front:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	mischief := &mischiefMaker{cloud: o.cloud}
	proxy, err := newProxy(o)
	if err != nil {
		return err
	}
	serving, err := tls.LoadX509KeyPair(o.certificate, o.key)
	if err != nil {
		return err
	}
	authorities, err := readAuthority(o.authority)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: mischief.around(proxy),
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{serving},
			ClientCAs:    authorities,
			ClientAuth:   tls.VerifyClientCertIfGiven,
		},
		ConnContext: markOutside,
		ErrorLog:    log.New(os.Stderr, "front: ", 0),
	}
	fromOutside, err := net.FileListener(os.NewFile(uintptr(o.outsideDescriptor), "outside"))
	if err != nil {
		return fmt.Errorf("the socket from outside: %w", err)
	}
	fromInside, err := net.Listen("tcp", o.inside)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	go func() { failed <- server.ServeTLS(outsideListener{fromOutside, mischief}, "", "") }()
	go func() { failed <- server.ServeTLS(fromInside, "", "") }()
	go func() { failed <- mischief.listen(bufio.NewReader(os.Stdin)) }()
	fmt.Println("ready")
	return <-failed
}

func readAuthority(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("`%s` has no certificate", file)
	}
	return pool, nil
}

// newProxy hands requests on. A caller with a client certificate is vouched for as an aggregating
// proxy does it, since its TLS ends here; everybody else brings a token, which goes through.
func newProxy(o options) (http.Handler, error) {
	authorities, err := readAuthority(o.authority)
	if err != nil {
		return nil, err
	}
	vouching, err := tls.LoadX509KeyPair(o.proxyCertificate, o.proxyKey)
	if err != nil {
		return nil, err
	}
	target := &url.URL{Scheme: "https", Host: o.upstream}
	plain := transport(authorities, nil)
	vouched := transport(authorities, []tls.Certificate{vouching})
	rewrite := func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		for name := range r.Out.Header {
			if strings.HasPrefix(name, "X-Remote-") {
				r.Out.Header.Del(name)
			}
		}
		if caller := certified(r.In); caller != nil {
			r.Out.Header.Set("X-Remote-User", caller.Subject.CommonName)
			for _, group := range caller.Subject.Organization {
				r.Out.Header.Add("X-Remote-Group", group)
			}
		}
	}
	return &httputil.ReverseProxy{
		Rewrite:       rewrite,
		FlushInterval: -1,
		Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Header.Get("X-Remote-User") != "" {
				return vouched.RoundTrip(r)
			}
			return plain.RoundTrip(r)
		}),
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			if !errors.Is(err, context.Canceled) {
				log.Printf("front: %s %s: %v", r.Method, r.URL.Path, err)
			}
			refuse(w, http.StatusServiceUnavailable, "ServiceUnavailable", "the API server cannot be reached")
		},
	}, nil
}

// transport has a connection for every request that is under way. With HTTP/2 all of them would share one, on which the
// API server writes piece by piece and in turn: while it is busy, watches fall behind and are ended.
func transport(authorities *x509.CertPool, certificates []tls.Certificate) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: authorities, Certificates: certificates},
		MaxIdleConnsPerHost: 512,
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func certified(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}

// outsideListener marks what it accepts, and keeps callers waiting while the endpoint is private.
type outsideListener struct {
	net.Listener
	mischief *mischiefMaker
}

type outsideConnection struct{ net.Conn }

func (l outsideListener) Accept() (net.Conn, error) {
	for {
		connection, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.mischief.now().shutsOutside() {
			l.mischief.keepWaiting(connection)
			continue
		}
		return outsideConnection{connection}, nil
	}
}

func markOutside(ctx context.Context, connection net.Conn) context.Context {
	if secured, ok := connection.(*tls.Conn); ok {
		connection = secured.NetConn()
	}
	if _, ok := connection.(outsideConnection); ok {
		return context.WithValue(ctx, outside{}, connection.RemoteAddr())
	}
	return ctx
}

// refuse answers as the API server words its own errors.
func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{},
		"status": "Failure", "message": message, "reason": reason, "code": code,
	})
}
