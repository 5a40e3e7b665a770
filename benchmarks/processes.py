"""Processes under measurement: they end with this one, and /proc says what they cost."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CACHE = Path(os.environ.get("WEIR_CACHE", Path.home() / ".cache/weir"))


class Processes:
    """Some processes with a folder of their own; stopping them removes it."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="weir-bench."))
        self.processes = []

    def spawn(self, *command, name=None, pipe=False, environment=None):
        """Starts a command; its errors, and unless piped its output, go to a file that `log` reads."""
        name = name or f"{len(self.processes)}"
        log = open(self.folder / f"{name}.log", "w")
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if pipe else log, stderr=log if pipe else subprocess.STDOUT, text=True,
            env={**os.environ, **(environment or {})},
        )
        self.processes.append(process)
        return process

    def log(self, name):
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def cpu_seconds(pid):
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid):
    """Resident memory in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_until(what, condition, limit=60, pause=0.05):
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {limit} s: {what}")
        time.sleep(pause)
