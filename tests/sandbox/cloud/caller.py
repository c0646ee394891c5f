"""Who is at the other end of a connection, so that it can be killed in the middle of its work."""

import ipaddress
import os
import signal


def kill_caller(client_port, server_port, tables="/proc/net", address=None):
    """Send SIGKILL to the process that owns the client side of this connection.

    `tables` is the folder with the kernel's lists of sockets for the namespace of the connection. With
    the `address` of the caller, every namespace of this machine is looked through: pods have their own.

    Returns its process id, or None when nobody was found (another machine).
    """
    inode = _socket_inode(client_port, server_port, tables)
    if inode is None and address:
        inode = _socket_of_pod(address, client_port, server_port)
    if inode is None:
        return None
    pid = _owner_of(inode)
    if pid is None or pid == os.getpid():
        return None
    os.kill(pid, signal.SIGKILL)
    return pid


def _socket_inode(local_port, remote_port, tables, address=None):
    """The inode of the TCP socket that is bound to `local_port` and connected to `remote_port`."""
    hosts = _hosts(address) if address else None
    for table in (f"{tables}/tcp", f"{tables}/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                next(lines)
                for line in lines:
                    fields = line.split()
                    local, remote, inode = fields[1], fields[2], fields[9]
                    if hosts and local.rsplit(":", 1)[0] not in hosts:
                        continue
                    if _port(local) == local_port and _port(remote) == remote_port and inode != "0":
                        return inode
        except (OSError, StopIteration):
            continue
    return None


def _socket_of_pod(address, local_port, remote_port):
    """The same, in whichever network namespace has a socket with this address."""
    seen = set()
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            namespace = os.readlink(f"/proc/{entry}/ns/net")
        except OSError:
            continue
        if namespace not in seen:
            seen.add(namespace)
            inode = _socket_inode(local_port, remote_port, f"/proc/{entry}/net", address)
            if inode is not None:
                return inode
    return None


def _hosts(address):
    """An address as the kernel's lists of sockets have it, in both families."""
    words = ipaddress.ip_address(address).packed[::-1].hex().upper()
    return (words, f"0000000000000000FFFF0000{words}")


def _port(address):
    return int(address.rsplit(":", 1)[1], 16)


def _owner_of(inode):
    """The first process that has this socket open."""
    wanted = f"socket:[{inode}]"
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        folder = f"/proc/{entry}/fd"
        try:
            descriptors = os.listdir(folder)
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                if os.readlink(f"{folder}/{descriptor}") == wanted:
                    return int(entry)
            except OSError:
                continue
    return None
