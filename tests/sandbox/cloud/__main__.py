"""Starts the cloud: `python -m cloud [--port N] [--weather JSON] [--name NAME]`.

Prints `ready PORT` on standard output once it answers. With `--with-parent MARKER`, it lives as long
as its standard input stays open: when the process that holds the other end is gone, however it went,
the cloud ends too, and takes every process along that has `MARKER` (`NAME=value`) in its environment.
A parent that goes in peace says `bye` first.
"""

import argparse
import json
import os
import signal
import sys
import threading


def main():
    """Read the arguments, load the cloud, serve."""
    parser = argparse.ArgumentParser(prog="cloud")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--weather", default="{}", help="JSON")
    parser.add_argument("--name")
    parser.add_argument("--with-parent", metavar="MARKER", nargs="?", const="")
    parser.add_argument("--detached", action="store_true")
    parser.add_argument("--kubernetes", metavar="PROGRAMS", help="JSON: paths by name")
    arguments = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if arguments.with_parent is not None:
        # A Ctrl-C in the terminal is for the command that uses the cloud, not for the cloud.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        threading.Thread(
            target=_end_with_parent, args=(arguments.with_parent,), daemon=True
        ).start()
    elif arguments.detached:
        # Whatever becomes of the terminal and its session.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGINT, lambda *_: os._exit(0))

    from . import cloud, control, kubernetes, weather

    kubernetes.PROGRAMS.update(json.loads(arguments.kubernetes or "{}"))
    control.NAME["name"] = arguments.name
    try:
        weather.WEATHER.change(weather.parse(json.loads(arguments.weather)))
    except ValueError as error:
        _give_up(f"bad weather: {error}")
    try:
        server = cloud.build(arguments.port)
    except kubernetes.NoNamespace as error:
        _give_up(str(error))
    print(f"ready {server.port}", flush=True)
    server.serve_forever()


def _give_up(words):
    """Say why, and end at once: a thread that waits for standard input would not let go of it."""
    print(words, file=sys.stderr, flush=True)
    os._exit(1)


def _end_with_parent(marker):
    """Wait for standard input to close, then end what the parent left behind, and this process."""
    from .processes import end_marked

    in_peace = False
    for line in sys.stdin.buffer:
        in_peace = line.strip() == b"bye"
    if marker:
        end_marked(marker, patiently=not in_peace)
    os._exit(0)


if __name__ == "__main__":
    main()
