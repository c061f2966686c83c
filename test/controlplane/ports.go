package controlplane

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// Ports come in blocks below the range that the kernel takes the ports of
// outgoing connections from (32768 and up on Linux), so that a free port is
// not lost to a connection between being chosen and being listened on.
const (
	firstPort  = 20000
	portBlocks = 1200
	blockSize  = 8
)

// ports are the ports of one control plane, all on 127.0.0.1. They are its own
// until release: the block's lock keeps other control planes off.
type ports struct {
	etcd, etcdPeer, apiserver, controllerManager, scheduler, kwok int
	spare                                                         [2]int
	lock                                                          *os.File
}

// reservePorts takes a block of ports that nobody listens on. It begins at a
// random one, so that clients of a control plane that has just gone do not
// call on the next.
func reservePorts() (*ports, error) {
	folder := filepath.Join(os.TempDir(), "stowage-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("reserving ports: %w", err)
	}
	begin := rand.N(portBlocks)
	for i := range portBlocks {
		first := firstPort + (begin+i)%portBlocks*blockSize
		lock, err := tryLock(filepath.Join(folder, strconv.Itoa(first)))
		if err != nil {
			return nil, fmt.Errorf("reserving ports: %w", err)
		}
		if lock == nil {
			continue
		}
		if free(first) {
			return &ports{
				etcd: first, etcdPeer: first + 1, apiserver: first + 2,
				controllerManager: first + 3, scheduler: first + 4, kwok: first + 5,
				spare: [2]int{first + 6, first + 7},
				lock:  lock,
			}, nil
		}
		if err := lock.Close(); err != nil {
			return nil, fmt.Errorf("reserving ports: %w", err)
		}
	}
	return nil, errors.New("reserving ports: every block of them is taken")
}

// free reports whether every port of the block can be listened on.
func free(first int) bool {
	for port := first; port < first+blockSize; port++ {
		listener, err := net.Listen("tcp", address(port))
		if err != nil {
			return false
		}
		if err := listener.Close(); err != nil {
			return false
		}
	}
	return true
}

// SparePorts are two ports of 127.0.0.1 that nobody else takes until Stop, for
// one program that runs beside the control plane.
func (cp *ControlPlane) SparePorts() [2]int { return cp.ports.spare }

// release gives the block back. The file of the lock stays, because removing it
// would let two processes hold a lock on two files of one name.
func (p *ports) release() error { return p.lock.Close() }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
