package main

// Addresses of pods: unique, out of the subnet of their node, from its end downwards, while EC2
// hands out those of instances from its beginning.

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
)

// What pods get when their subnet has no address left, as with a second range for pods.
var overflow = netip.MustParsePrefix("100.64.0.0/10")

type addresses struct {
	mutex sync.Mutex
	used  map[netip.Addr]bool
	// The last address given out of each range.
	last map[netip.Prefix]uint32
}

func newAddresses() *addresses {
	return &addresses{used: map[netip.Addr]bool{}, last: map[netip.Prefix]uint32{}}
}

// take returns a free address of a subnet; of the overflow range when the subnet is used up.
func (a *addresses) take(subnet string) (string, error) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	prefix, err := netip.ParsePrefix(subnet)
	if err == nil && prefix.Addr().Is4() {
		// The lower half is left to instances and load balancers.
		if found, ok := a.search(prefix, size(prefix)/2); ok {
			return found.String(), nil
		}
	}
	if found, ok := a.search(overflow, 16); ok {
		return found.String(), nil
	}
	return "", fmt.Errorf("no address is left for a pod in %s", subnet)
}

// keep marks an address as used that a pod already has.
func (a *addresses) keep(address string) {
	if parsed, err := netip.ParseAddr(address); err == nil {
		a.mutex.Lock()
		a.used[parsed] = true
		a.mutex.Unlock()
	}
}

// free gives an address back.
func (a *addresses) free(address string) {
	if parsed, err := netip.ParseAddr(address); err == nil {
		a.mutex.Lock()
		delete(a.used, parsed)
		a.mutex.Unlock()
	}
}

// search goes round a range from the last address given, so that one is not used again at once.
func (a *addresses) search(prefix netip.Prefix, lowest uint32) (netip.Addr, bool) {
	base := binary.BigEndian.Uint32(prefix.Masked().Addr().AsSlice())
	highest := size(prefix) - 2 // Not the broadcast address.
	if highest <= lowest || size(prefix) < 8 {
		return netip.Addr{}, false
	}
	offset := a.last[prefix]
	for range highest - lowest {
		if offset <= lowest || offset > highest {
			offset = highest
		} else {
			offset--
		}
		var bytes [4]byte
		binary.BigEndian.PutUint32(bytes[:], base+offset)
		candidate := netip.AddrFrom4(bytes)
		if !a.used[candidate] {
			a.used[candidate], a.last[prefix] = true, offset
			return candidate, true
		}
	}
	return netip.Addr{}, false
}

func size(prefix netip.Prefix) uint32 {
	return uint32(1) << min(31, 32-prefix.Bits())
}
