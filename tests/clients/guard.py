"""Lets what it starts hear of nothing but the loopback.

A network namespace with a loopback only, where the kernel gives us one. Where it does not, a hook inside of Python that
refuses every other address: `python guard.py PROGRAM ARGUMENT…` runs a program under it.
"""

import fcntl
import ipaddress
import os
import runpy
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence

_NAMESPACE = ("unshare", "--map-root-user", "--net", "--")
_IFF_UP = 0x1
_SIOCSIFFLAGS = 0x8914


def namespaces() -> bool:
    """Whether the kernel gives us a network namespace."""
    try:
        return subprocess.run([*_NAMESPACE, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def inside(command: Sequence[str]) -> list[str]:
    """The command, in a namespace with nothing in it; where there are none, as it is."""
    return [*_NAMESPACE, *command] if namespaces() else list(command)


def guarded(program: Sequence[str]) -> list[str]:
    """Arguments of Python that run a program of Python: under the hook, where we are in no namespace of our own."""
    return list(program) if alone() else [__file__, *program]


def alone() -> bool:
    """Whether there is no network here but the loopback."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def raise_loopback() -> None:
    """It is down in a new namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_loopback(address[0]):
            raise PermissionError(f"the guard refuses {address}")
    elif event == "socket.getaddrinfo":
        if not _is_loopback(arguments[0]):
            raise PermissionError(f"the guard refuses to look {arguments[0]!r} up")
    elif event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"):
        raise PermissionError("the guard cannot see what another program does")
    elif event == "import" and arguments[0] == "uvloop":
        raise ImportError("the guard cannot see what uvloop does")


def _is_loopback(host: object) -> bool:
    if host in (None, "", "localhost", b"localhost"):
        return True
    try:
        return ipaddress.ip_address(host.decode() if isinstance(host, bytes) else str(host)).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.addaudithook(_refuse)
    sys.argv = sys.argv[1:]
    sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
