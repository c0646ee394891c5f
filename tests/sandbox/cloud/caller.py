"""Who is at the other end of a connection, so that it can be killed in the middle of its work."""

import os
import signal


def kill_caller(client_port, server_port, tables="/proc/net"):
    """Send SIGKILL to the process that owns the client side of this loopback connection.

    `tables` is the folder with the kernel's lists of sockets for the namespace of the connection.

    Returns its process id, or None when nobody was found (another machine, another namespace).
    """
    inode = _socket_inode(client_port, server_port, tables)
    if inode is None:
        return None
    pid = _owner_of(inode)
    if pid is None or pid == os.getpid():
        return None
    os.kill(pid, signal.SIGKILL)
    return pid


def _socket_inode(local_port, remote_port, tables):
    """The inode of the TCP socket that is bound to `local_port` and connected to `remote_port`."""
    for table in (f"{tables}/tcp", f"{tables}/tcp6"):
        try:
            with open(table, encoding="ascii") as lines:
                next(lines)
                for line in lines:
                    fields = line.split()
                    local, remote, inode = fields[1], fields[2], fields[9]
                    if _port(local) == local_port and _port(remote) == remote_port and inode != "0":
                        return inode
        except (OSError, StopIteration):
            continue
    return None


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
