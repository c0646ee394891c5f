package front

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// mischief is what the door does besides handing requests on. All of it is for callers from outside
// of the namespace; the zero value is none.
type mischief struct {
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
	// Nobody gets through; who tries hears nothing.
	Unreachable bool `json:"unreachable"`
}

type mischiefMaker struct {
	cloud string

	lock    sync.Mutex
	current mischief
	dice    *rand.Rand
	changes uint64
	waiting []net.Conn
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
	if !wanted.Unreachable {
		for _, connection := range m.waiting {
			_ = connection.Close()
		}
		m.waiting = nil
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
		address, fromOutside := r.Context().Value(outside{}).(net.Addr)
		if !fromOutside {
			handler.ServeHTTP(w, r)
			return
		}
		current := m.now()
		if current.LatencyMs > 0 {
			time.Sleep(time.Duration(current.LatencyMs * float64(time.Millisecond)))
		}
		changing := changes(r)
		doomed := changing && m.reachesItsDoom()
		if doomed && current.KillWhen == "before" {
			m.kill(address, r)
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
			handler.ServeHTTP(w, r)
			return
		}
		handler.ServeHTTP(&nowhere{header: http.Header{}}, r)
		if doomed {
			m.kill(address, r)
		}
		panic(http.ErrAbortHandler)
	})
}

// kill has the process at the other end of the connection killed, and breaks the connection.
func (m *mischiefMaker) kill(address net.Addr, r *http.Request) {
	told, _ := json.Marshal(map[string]any{
		"client_port": address.(*net.TCPAddr).Port, "method": r.Method, "uri": r.RequestURI,
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
