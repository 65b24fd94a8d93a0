"""Where our processor time goes while four large files are sent to the sink: `perf`, by function, our own and the kernel's."""
import shutil
import subprocess
import time
from pathlib import Path

from .legs import UNSIGNED
from .mixes import Mix
from .ours import Site
from .servers import Sink


def _gone(pid):
    """perf ends when the program has, after it has written its file."""
    until = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.1)


def taken(program, sink, scratch, quick):
    """A section for the report."""
    head = "\n## Where our processor time goes\n\nFour large files to the sink, `perf` at 499 Hz, functions with at least 1 %.\n\n"
    if not shutil.which("perf"):
        return head + "Not measured: perf is not installed here.\n"
    mix = Mix("four", scratch / "data", quick)
    wrapper, data, pid = scratch / "under-perf", scratch / "perf.data", scratch / "perf.pid"
    # The program takes the place of this shell, so that signals reach it; perf attaches from outside, and has begun when its file has.
    wait = f"n=0; while [ ! -s {data} ] && [ $n -lt 100 ]; do n=$((n + 1)); sleep 0.1; done; sleep 0.3"
    attach = f"perf record -q -F 499 -o {data} -p $$ >/dev/null 2>&1 & echo $! >{pid}"
    wrapper.write_text(f'#!/bin/sh\n{attach}\n{wait}\nexec {program} "$@"\n')
    wrapper.chmod(0o755)
    server = Sink(sink, mix.dir.parent, scratch, False)
    try:
        Site(scratch / "site", server, UNSIGNED, "profile", mix).up(wrapper)
    finally:
        server.stop()
        shutil.rmtree(mix.dir)
    _gone(int(pid.read_text()))
    words = ["perf", "report", "-i", data, "--stdio", "--no-children", "--percent-limit", "1", "--sort", "symbol"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    lines = [line.rstrip(" -") for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
    shown = "\n".join(lines[:30]) or f"perf said: {done.stderr.strip()[-300:]}"
    return f"{head}```text\n{shown}\n```\n"
