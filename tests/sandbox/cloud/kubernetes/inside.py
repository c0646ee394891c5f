"""The process that holds the namespace: `python inside.py CONTROL_DESCRIPTOR FOLDER`.

Started by `namespace.py` in fresh user, network, mount and process namespaces. Sets up the network,
mounts a file system in memory on FOLDER, and does what it is asked over the control socket: give the
namespace addresses, and pass sockets that listen on them out. When the other end of the control
socket is gone, it ends, and with it every process of the namespace. Imports nothing of the cloud.
"""

import ctypes
import fcntl
import ipaddress
import json
import os
import signal
import socket
import struct
import sys

_SIOCSIFFLAGS, _IFF_UP_RUNNING = 0x8914, 0x1 | 0x40
_RTM_NEWROUTE, _REQUEST_ACK_CREATE_REPLACE = 24, 0x1 | 0x4 | 0x400 | 0x100
_TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL = 255, 4, 254, 2
_RTA_DST, _RTA_OIF, _LOOPBACK_INDEX = 1, 4, 1


def main():
    """Make the place, say so, serve."""
    control = socket.socket(fileno=int(sys.argv[1]))
    folder = sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _mount("tmpfs", folder, b"mode=0755")
    _loopback_up()
    first = _first_process(control)
    _say(control, {"first_process": first})
    for line in control.makefile("r"):
        try:
            answer, descriptors = _do(json.loads(line))
        except OSError as error:
            answer, descriptors = {"error": str(error)}, []
        _say(control, answer, descriptors)


def _do(asked):
    if "addresses" in asked:
        _own(asked["addresses"])
        return {}, []
    if "listen" in asked:
        host, port = asked["listen"]
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(512)
        return {}, [listener.detach()]
    raise OSError(f"asked for what it does not know: {asked}")


def _say(control, answer, descriptors=()):
    socket.send_fds(control, [json.dumps(answer).encode() + b"\n"], list(descriptors))
    for descriptor in descriptors:
        os.close(descriptor)


def _first_process(control):
    """Process 1 of the new process namespace. Everything in it dies with it, it with this process."""
    reading, writing = os.pipe()
    first = os.fork()
    if first:
        os.close(reading)
        os.set_inheritable(writing, False)
        return first
    control.close()
    os.close(writing)
    # Orphans end up here, and are not waited for.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        _mount("proc", "/proc", b"")
    except OSError:
        pass  # A container may forbid it; then `/proc` shows more than there is.
    os.read(reading, 1)
    os._exit(0)


def _mount(kind, where, data):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(kind.encode(), where.encode(), kind.encode(), 0, data) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mounting a {kind} on {where}: {os.strerror(error)}")


def _loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP_RUNNING))


def _own(block):
    """Every address of a block is one of this machine: anybody may listen on any of them."""
    network = ipaddress.ip_network(block)
    route = struct.pack(
        "=BBBBBBBBI", socket.AF_INET, network.prefixlen, 0, 0,
        _TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0,
    )  # fmt: skip
    body = route + _attribute(_RTA_DST, network.network_address.packed)
    body += _attribute(_RTA_OIF, struct.pack("=I", _LOOPBACK_INDEX))
    head = struct.pack("=IHHII", 16 + len(body), _RTM_NEWROUTE, _REQUEST_ACK_CREATE_REPLACE, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.send(head + body)
        answer = netlink.recv(4096)
    error = -struct.unpack_from("=i", answer, 16)[0]
    if error:
        raise OSError(error, f"giving the namespace {block}: {os.strerror(error)}")


def _attribute(kind, value):
    return struct.pack("=HH", 4 + len(value), kind) + value


if __name__ == "__main__":
    main()
