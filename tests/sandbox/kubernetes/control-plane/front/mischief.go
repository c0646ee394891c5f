package front

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// mischief is what the door does besides handing requests on; the zero value is none.
type mischief struct {
	// Whom it is for: `outside` of the namespace (when nobody is named) or `inside`, a user name
	// (`system:serviceaccount:kube-system:metrics-server`), or `agent:` and how a program's name begins.
	Callers []string `json:"callers"`
	// Milliseconds added to every request.
	LatencyMs float64 `json:"latency_ms"`
	// Share of requests that are refused as too many, undone.
	Throttled float64 `json:"throttled"`
	// Share of requests that fail, undone.
	ServerError float64 `json:"server_error"`
	// Share of changing requests that are done and never answered.
	LostAnswer float64 `json:"lost_answer"`
	// What the dice are thrown with.
	Seed int64 `json:"seed"`
	// The n-th changing request from now on, from 1, at which its caller is killed.
	KillAt uint64 `json:"kill_at"`
	// `before` or `after` that request is done.
	KillWhen string `json:"kill_when"`
	// None of them gets through; who tries hears nothing, and what goes on is cut.
	Unreachable bool `json:"unreachable"`
	// Nobody from outside gets through, whoever the callers are.
	Private bool `json:"private"`
}

type mischiefMaker struct {
	cloud string

	lock    sync.Mutex
	current mischief
	dice    *rand.Rand
	changes uint64
	waiting []net.Conn
	ongoing map[*ongoing]bool
	// Closed, and made anew, at every change.
	changed chan struct{}
}

// ongoing is a request that is being answered.
type ongoing struct {
	request *http.Request
	cut     context.CancelFunc
}

// listen takes over the mischief of each line, until there are no more.
func (m *mischiefMaker) listen(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var wanted mischief
		if err := json.Unmarshal(line, &wanted); err != nil {
			return fmt.Errorf("a mischief: %w", err)
		}
		m.change(wanted)
		fmt.Println("changed")
	}
}

func (m *mischiefMaker) change(wanted mischief) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.current, m.changes = wanted, 0
	m.dice = rand.New(rand.NewSource(wanted.Seed))
	if m.changed != nil {
		close(m.changed)
	}
	m.changed = make(chan struct{})
	if !wanted.shutsOutside() {
		for _, connection := range m.waiting {
			_ = connection.Close()
		}
		m.waiting = nil
	}
	if wanted.Unreachable {
		for one := range m.ongoing {
			if wanted.concerns(one.request) {
				one.cut()
			}
		}
	}
}

// shutsOutside tells whether connections from outside are not even taken.
func (m mischief) shutsOutside() bool {
	return m.Private || m.Unreachable && (len(m.Callers) == 0 || slices.Contains(m.Callers, "outside"))
}

// concerns tells whether a request comes from somebody whom this is for.
func (m mischief) concerns(r *http.Request) bool {
	_, fromOutside := r.Context().Value(outside{}).(net.Addr)
	if len(m.Callers) == 0 {
		return fromOutside
	}
	for _, caller := range m.Callers {
		agent, byAgent := strings.CutPrefix(caller, "agent:")
		switch {
		case byAgent:
			if strings.HasPrefix(r.UserAgent(), agent) {
				return true
			}
		case caller == "outside" && fromOutside, caller == "inside" && !fromOutside, caller == userOf(r):
			return true
		}
	}
	return false
}

// userOf is who a caller says that it is: its certificate's name, or the subject of its token.
func userOf(r *http.Request) string {
	if caller := certified(r); caller != nil {
		return caller.Subject.CommonName
	}
	parts := strings.Split(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), ".")
	if len(parts) != 3 {
		return ""
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Subject
}

// begin notes a request down; it is cut when its caller is to hear nothing any more.
func (m *mischiefMaker) begin(r *http.Request) (*http.Request, func()) {
	ctx, cut := context.WithCancel(r.Context())
	one := &ongoing{request: r, cut: cut}
	m.lock.Lock()
	defer m.lock.Unlock()
	if m.ongoing == nil {
		m.ongoing = map[*ongoing]bool{}
	}
	m.ongoing[one] = true
	return r.WithContext(ctx), func() {
		m.lock.Lock()
		defer m.lock.Unlock()
		delete(m.ongoing, one)
		cut()
	}
}

// reach waits until the caller of a request can be heard; says whether it still listens.
func (m *mischiefMaker) reach(r *http.Request) bool {
	for {
		m.lock.Lock()
		current, changed := m.current, m.changed
		m.lock.Unlock()
		if !current.Unreachable || !current.concerns(r) {
			return true
		}
		select {
		case <-r.Context().Done():
			return false
		case <-changed:
		}
	}
}

func (m *mischiefMaker) now() mischief {
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.current
}

func (m *mischiefMaker) strikes(share float64) bool {
	if share <= 0 {
		return false
	}
	m.lock.Lock()
	defer m.lock.Unlock()
	return m.dice.Float64() < share
}

// reachesItsDoom counts a changing request; whether it is the one whose caller is to be killed.
func (m *mischiefMaker) reachesItsDoom() bool {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.changes++
	return m.current.KillAt > 0 && m.changes == m.current.KillAt
}

func (m *mischiefMaker) keepWaiting(connection net.Conn) {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.waiting = append(m.waiting, connection)
}

// around puts the mischief around a handler.
func (m *mischiefMaker) around(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.reach(r) {
			panic(http.ErrAbortHandler)
		}
		r, done := m.begin(r)
		defer done()
		current := m.now()
		if !current.concerns(r) {
			m.serve(handler, w, r)
			return
		}
		if current.LatencyMs > 0 {
			time.Sleep(time.Duration(current.LatencyMs * float64(time.Millisecond)))
		}
		changing := changes(r)
		doomed := changing && m.reachesItsDoom()
		if doomed && current.KillWhen == "before" {
			m.kill(r)
		}
		if m.strikes(current.Throttled) {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "TooManyRequests", "too many requests, please try again later")
			return
		}
		if m.strikes(current.ServerError) {
			refuse(w, http.StatusInternalServerError, "InternalError", "an error on the server has prevented the request from succeeding")
			return
		}
		lost := changing && m.strikes(current.LostAnswer)
		if !doomed && !lost {
			m.serve(handler, w, r)
			return
		}
		handler.ServeHTTP(&nowhere{header: http.Header{}}, r)
		if doomed {
			m.kill(r)
		}
		panic(http.ErrAbortHandler)
	})
}

// serve hands a request on; when it is cut meanwhile, its caller gets no answer.
func (m *mischiefMaker) serve(handler http.Handler, w http.ResponseWriter, r *http.Request) {
	handler.ServeHTTP(w, r)
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
}

// kill has the process at the other end of the connection killed, and breaks the connection.
func (m *mischiefMaker) kill(r *http.Request) {
	_, fromOutside := r.Context().Value(outside{}).(net.Addr)
	host, port, _ := net.SplitHostPort(r.RemoteAddr)
	number, _ := strconv.Atoi(port)
	told, _ := json.Marshal(map[string]any{
		"client_port": number, "client_address": host, "outside": fromOutside, "method": r.Method, "uri": r.RequestURI,
	})
	answer, err := http.Post(m.cloud, "application/json", bytes.NewReader(told))
	if err != nil {
		log.Printf("front: killing a caller: %v", err)
	} else {
		_ = answer.Body.Close()
	}
	panic(http.ErrAbortHandler)
}

// changes tells whether a request may leave something behind: no dry run, and no mere question.
func changes(r *http.Request) bool {
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
	default:
		return false
	}
	if r.URL.Query().Has("dryRun") {
		return false
	}
	path := r.URL.Path
	for _, question := range []string{"/token", "reviews", "/exec", "/attach", "/portforward", "/proxy"} {
		if strings.HasSuffix(path, question) {
			return false
		}
	}
	return true
}

// nowhere is where an answer goes that nobody is to get.
type nowhere struct{ header http.Header }

func (n *nowhere) Header() http.Header             { return n.header }
func (n *nowhere) Write(bytes []byte) (int, error) { return len(bytes), nil }
func (n *nowhere) WriteHeader(int)                 {}
func (n *nowhere) Flush()                          {}
