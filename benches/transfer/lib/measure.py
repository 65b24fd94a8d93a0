"""What a program costs: wall clock, processor time, peak memory of the whole process, as the kernel counts them."""
import os
import resource
import signal
import subprocess
import time
from dataclasses import dataclass


def floor():
    """MiB: the kernel lets a new process begin with the peak of the one that started it, so none can show less than ours."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Failed(Exception):
    """A program did not do what it was started for; the text says what it said."""


@dataclass
class Cost:
    wall: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0  # MiB

    def __add__(self, other):
        """One after the other."""
        return Cost(self.wall + other.wall, self.cpu + other.cpu, max(self.peak, other.peak))


def _cost(begun, ended, usage):
    return Cost(ended - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


class Process:
    """A program under measurement. It is killed when it is not done in time."""

    def __init__(self, command, log, env=None, cwd=None):
        self.command, self.log = [str(word) for word in command], log
        with open(log, "ab") as out:
            self.begun = time.monotonic()
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=out, stderr=out, env={**os.environ, **(env or {})}, cwd=cwd
            )

    def _fail(self, why):
        said = self.log.read_text(errors="replace")[-3000:]
        raise Failed(f"{' '.join(self.command)}: {why}\n{said}")

    def _wait(self, within):
        """Like wait4, with an end."""
        until = time.monotonic() + within
        while True:
            pid, status, usage = os.wait4(self.child.pid, os.WNOHANG)
            if pid:
                self.child.returncode = os.waitstatus_to_exitcode(status)
                return usage
            if time.monotonic() > until:
                self.kill()
                self._fail(f"was not done after {within} s")
            time.sleep(0.002)

    def kill(self):
        if self.child.returncode is None:
            self.child.kill()
            self.child.wait()
        self.child.stdin.close()

    def to_its_end(self, within=900):
        """Until it ends by itself."""
        usage = self._wait(within)
        cost = _cost(self.begun, time.monotonic(), usage)
        self.child.stdin.close()
        if self.child.returncode != 0:
            self._fail(f"exit code {self.child.returncode}")
        return cost

    def until(self, there, within=900):
        """A daemon: until `there` is true, which is its time; then it is stopped, and its whole life counts as processor time."""
        end = time.monotonic() + within
        while not there():
            if self.child.poll() is not None:
                self._fail(f"ended before it was done, exit code {self.child.returncode}")
            if time.monotonic() > end:
                self.kill()
                self._fail(f"was not done after {within} s")
            time.sleep(0.002)
        done = time.monotonic()
        self.child.send_signal(signal.SIGTERM)
        usage = self._wait(60)
        self.child.stdin.close()
        if self.child.returncode != 0:
            self._fail(f"did not end in order, exit code {self.child.returncode}")
        return _cost(self.begun, done, usage)


def run(command, log, env=None, cwd=None):
    """Runs a program to its end."""
    return Process(command, log, env, cwd).to_its_end()
