package main

// The kubelets' own API on port 10250 of every node's address: metrics, pods, logs. Who may read
// what is asked of the API server, as a kubelet does.

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// How long an answer about who may do what is good for.
const reviewsFor = 5 * time.Second

type kubelets struct {
	pods         *pods
	certificates *certificates

	mutex   sync.Mutex
	reviews map[string]review
	// node -> its CPU so far
	nodes map[string]*nodeUsage
}

type review struct {
	until   time.Time
	allowed bool
	why     string
	status  int
}

func newKubelets(pods *pods, certificates *certificates) *kubelets {
	return &kubelets{pods: pods, certificates: certificates, reviews: map[string]review{}, nodes: map[string]*nodeUsage{}}
}

// serve answers on every address of this namespace, for whichever node it is.
func (k *kubelets) serve(ctx context.Context) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", kubeletPort))
	if err != nil {
		return fmt.Errorf("the kubelets' port: %w", err)
	}
	server := &http.Server{
		Handler: k, TLSConfig: &tls.Config{GetCertificate: k.certificate}, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		// Callers that give up are nothing to talk about.
		ErrorLog: log.New(io.Discard, "", 0),
	}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ServeTLS(listener, "", ""); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func (k *kubelets) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	address, _, err := net.SplitHostPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	machine := k.at(address)
	if machine == nil {
		return nil, fmt.Errorf("no node has the address %s", address)
	}
	return k.certificates.of(machine.name, address)
}

// at finds the machine with an address.
func (k *kubelets) at(address string) *machine {
	return k.pods.fleet.find(nodeName(k.pods.fleet.now().Region, address))
}

func (k *kubelets) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	local, _ := request.Context().Value(http.LocalAddrContextKey).(net.Addr)
	address, _, _ := net.SplitHostPort(fmt.Sprint(local))
	machine := k.at(address)
	if machine == nil || !machine.runs() {
		http.Error(answer, "there is no kubelet at "+address, http.StatusServiceUnavailable)
		return
	}
	path := request.URL.Path
	if path == "/healthz" {
		fmt.Fprint(answer, "ok")
		return
	}
	if strings.HasPrefix(path, "/containerLogs/") {
		k.logs(answer, request)
		return
	}
	subresource := map[string]string{"/metrics/resource": "metrics", "/metrics": "metrics", "/pods": "proxy"}[path]
	if subresource == "" {
		http.NotFound(answer, request)
		return
	}
	if found := k.review(request, machine.name, subresource); !found.allowed {
		http.Error(answer, found.why, found.status)
		return
	}
	if path == "/pods" {
		answer.Header().Set("Content-Type", "application/json")
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}}
		for _, pod := range k.pods.onNode(machine.name) {
			list.Items = append(list.Items, *pod)
		}
		_ = json.NewEncoder(answer).Encode(list)
		return
	}
	answer.Header().Set("Content-Type", "text/plain; version=0.0.4")
	_, _ = io.WriteString(answer, k.metrics(machine.name))
}

// review asks the API server who calls, and whether they may.
func (k *kubelets) review(request *http.Request, node, subresource string) review {
	token, ok := strings.CutPrefix(request.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return review{status: http.StatusUnauthorized, why: "Unauthorized"}
	}
	key := subresource + "/" + node + "/" + token
	k.mutex.Lock()
	known, found := k.reviews[key]
	if len(k.reviews) > 10000 {
		k.reviews = map[string]review{}
	}
	k.mutex.Unlock()
	if found && time.Now().Before(known.until) {
		return known
	}
	fresh := k.ask(request.Context(), token, node, subresource)
	fresh.until = time.Now().Add(reviewsFor)
	k.mutex.Lock()
	k.reviews[key] = fresh
	k.mutex.Unlock()
	return fresh
}

func (k *kubelets) ask(ctx context.Context, token, node, subresource string) review {
	client := k.pods.client
	who, err := client.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{
		Spec: authenticationv1.TokenReviewSpec{Token: token},
	}, metav1.CreateOptions{})
	if err != nil {
		return review{status: http.StatusInternalServerError, why: err.Error()}
	}
	if !who.Status.Authenticated {
		return review{status: http.StatusUnauthorized, why: "Unauthorized"}
	}
	user := who.Status.User
	extra := map[string]authorizationv1.ExtraValue{}
	for name, values := range user.Extra {
		extra[name] = authorizationv1.ExtraValue(values)
	}
	may, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "get", Version: "v1", Resource: "nodes", Subresource: subresource, Name: node},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return review{status: http.StatusInternalServerError, why: err.Error()}
	}
	why := fmt.Sprintf("Forbidden (user=%s, verb=get, resource=nodes, subresource(s)=[%s])", user.Username, subresource)
	return review{allowed: may.Status.Allowed, why: why, status: http.StatusForbidden}
}

// logs of a container that is a process: `/containerLogs/NAMESPACE/POD/CONTAINER`.
func (k *kubelets) logs(answer http.ResponseWriter, request *http.Request) {
	parts := strings.Split(strings.TrimPrefix(request.URL.Path, "/containerLogs/"), "/")
	if len(parts) != 3 || strings.Contains(request.URL.Path, "..") {
		http.NotFound(answer, request)
		return
	}
	file, err := os.Open(k.pods.processes.logFile(parts[0], parts[1], parts[2]))
	if err != nil {
		fmt.Fprintln(answer, "(a simulated container; it says nothing)")
		return
	}
	defer file.Close()
	if text := request.URL.Query().Get("tailLines"); text != "" {
		if count, err := strconv.Atoi(text); err == nil {
			skipToTail(file, count)
		}
	}
	for {
		_, _ = io.Copy(answer, file)
		if request.URL.Query().Get("follow") != "true" || !sleep(request.Context(), 300*time.Millisecond) {
			return
		}
		if flusher, ok := answer.(http.Flusher); ok {
			flusher.Flush()
		}
	}
}

// skipToTail goes to where the last lines begin.
func skipToTail(file *os.File, count int) {
	content, err := io.ReadAll(file)
	if err != nil {
		return
	}
	at := len(content)
	for lines := 0; at > 0; at-- {
		if content[at-1] == '\n' {
			if lines++; lines > count {
				break
			}
		}
	}
	_, _ = file.Seek(int64(at), io.SeekStart)
}
