"""Where our processor time goes while four large files are sent to the sink: `perf`, by function, our own and the kernel's."""
import shutil
import subprocess

from .legs import UNSIGNED
from .mixes import Mix
from .ours import Site
from .servers import Sink


def taken(program, sink, scratch, quick):
    """A section for the report."""
    head = "\n## Where our processor time goes\n\nFour large files to the sink, `perf` at 499 Hz, functions with at least 1 %.\n\n"
    if not shutil.which("perf"):
        return head + "Not measured: perf is not installed here.\n"
    mix = Mix("four", scratch / "data", quick)
    wrapper, data = scratch / "under-perf", scratch / "perf.data"
    # It passes signals on to the program by being replaced by it: perf attaches to the process from outside.
    wrapper.write_text(f'#!/bin/sh\nperf record -q -F 499 -o {data} -p $$ >/dev/null 2>&1 &\nsleep 0.3\nexec {program} "$@"\n')
    wrapper.chmod(0o755)
    server = Sink(sink, mix.dir.parent, scratch, False)
    try:
        Site(scratch / "site", server, UNSIGNED, "profile", mix).up(wrapper)
    finally:
        server.stop()
        shutil.rmtree(mix.dir)
    subprocess.run(["sleep", "1"], check=True)  # perf ends when the program has, and writes its file
    words = ["perf", "report", "-i", data, "--stdio", "--no-children", "--percent-limit", "1", "--sort", "symbol"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
    shown = "\n".join(lines[:30]) or f"perf said: {done.stderr.strip()[-300:]}"
    return f"{head}```text\n{shown}\n```\n"
