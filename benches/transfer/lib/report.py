"""docs/performance.md: machine, versions, what was aimed at, what was measured."""
import hashlib
import os
import platform
import re
import statistics
import time
from pathlib import Path

GIB, MIB = 1 << 30, 1 << 20
# Below this line the document is written by people, and kept.
KEPT = "<!-- scripts/bench keeps what stands below -->"
CHAIN, WHOLE = "md5sum + sha256sum + s5cmd", "sha256sum + s5cmd + s5cmd + sha256sum -c"


def median(costs, what="wall"):
    return statistics.median(getattr(cost, what) for cost in costs)


def ratio(results, leg, who, to):
    ours, theirs = results.of(leg, who), results.of(leg, to)
    return median(ours) / median(theirs) if ours and theirs else None


def per_gib(results, leg, who):
    costs = results.of(leg, who)
    return median(costs, "cpu") * GIB / results.bytes[leg[0]] if costs else None


# what, aimed at, whether more is better, unit, how it is read off for a line
TARGETS = [
    ("up, large files, against s5cmd", 0.5, False, "×", lambda r, l: ratio(r, ("four", l), "ours", "s5cmd")),
    ("the same against rclone", 0.3, False, "×", lambda r, l: ratio(r, ("four", l), "ours", "rclone")),
    ("the same, processor", 1.0, False, "CPU s/GiB", lambda r, l: per_gib(r, ("four", l), "ours")),
    ("up with the delivery's md5, against s5cmd alone", 1.0, False, "×", lambda r, l: ratio(r, ("four", l), "ours, md5 too", "s5cmd")),
    (f"the same against {CHAIN}", 0.4, False, "×", lambda r, l: ratio(r, ("four", l), "ours, md5 too", CHAIN)),
    ("up, 2,000 small files, against s5cmd", 0.8, False, "×", lambda r, l: ratio(r, ("small", l), "ours", "s5cmd")),
    ("the replaced way (s3cmd) against ours", 10, True, "×", lambda r, l: ratio(r, ("real", l), "s3cmd", "ours")),
    ("whole way against the tools chained", 0.5, False, "×", lambda r, l: ratio(r, ("whole", l), "ours", WHOLE)),
    ("peak memory of ours, all legs", 200, False, "MiB", lambda r, l: peak(r, l)),
]


def peak(results, line):
    found = [c.peak for leg, of in results.costs.items() if leg[1] == line for who, costs in of.items() if "ours" in who for c in costs]
    return max(found, default=None)


def limits():
    """What one core of this machine does at best, whoever asks it: OpenSSL's digests over memory."""
    data, found = os.urandom(64 * MIB), {}
    for name in ["sha256", "md5"]:
        took = []
        for _ in range(3):
            begun = time.process_time()
            hashlib.new(name, data)
            took.append(time.process_time() - begun)
        found[name] = len(data) / min(took) / GIB
    return found


def machine():
    cpu = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return f"{os.cpu_count()} × {cpu}, {memory:.0f} GiB, Linux {platform.release()}"


def targets(results):
    lines = ["| leg | aimed at | plain | TLS | SeaweedFS |", "|---|---|---|---|---|"]
    for what, aim, more, unit, read in TARGETS:
        cells = []
        for line in ["plain", "TLS", "SeaweedFS"]:
            found = read(results, line)
            if found is None:
                cells.append("–")
                continue
            reached = found >= aim if more else found <= aim
            text = f"{found:.0f}" if unit == "MiB" else f"{found:.2f}"
            cells.append(f"**{text}**" if reached else f"{text} (not reached)")
        lines.append(f"| {what} | {'≥' if more else '≤'} {aim} {unit} | {' | '.join(cells)} |")
    return lines


def table(results, leg):
    ours, size, words = results.of(leg, "ours"), results.bytes[leg[0]], results.words[leg[0]]
    where = {"plain": "the sink", "TLS": "the sink over TLS", "SeaweedFS": "SeaweedFS, on the same cores"}[leg[1]]
    lines = ["", f"### {words[:1].upper()}{words[1:]} ({size / MIB:,.0f} MiB), {where}", ""]
    lines += ["| | wall s (least to most) | MiB/s | CPU s/GiB | peak MiB | ours takes |", "|---|---|---|---|---|---|"]
    for who, costs in results.costs[leg].items():
        walls = [cost.wall for cost in costs]
        wall, cpu = median(costs), median(costs, "cpu") * GIB / size
        part = f"{median(ours) / wall:.2f} ×" if ours and "ours" not in who else ""
        most = max(cost.peak for cost in costs)
        lines.append(f"| {who} | {wall:.2f} ({min(walls):.2f} to {max(walls):.2f}) | {size / wall / MIB:,.0f} | {cpu:.2f} | {most:.0f} | {part} |")
    for who, why in results.failures.get(leg, {}).items():
        said = re.sub(r"\S*/", "", why.splitlines()[-1])[:120].replace("|", "/")  # without the paths of this machine
        lines.append(f"| {who} | failed in the last rounds: {said} | | | | |")
    return lines


def text(results, versions, rounds, quick, commit, floor):
    best = limits()
    lines = ["# Performance", ""]
    lines += [f"Written by `scripts/bench`{' --quick (small sizes, one round: the numbers prove nothing)' if quick else ''}."]
    lines += [f"{time.strftime('%d %B %Y')}, {commit}. {machine()}, loopback; all files in memory (tmpfs), so no disk is measured.", ""]
    lines += ["Others: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".", ""]
    lines += [
        f"Medians of {rounds} rounds, everybody in turn in each. *Ours* is the released program: the daemon from the start of its process"
        " until the package lies below `transferred/` (up) or is `READY` (whole way), journal, fsyncs, survey, manifest and commit included;"
        f" processor time is that of its whole life. Checksum `crc64nvme` where not said otherwise; rhythms of 20 and 50 ms. The others run with"
        " their defaults. The sink discards what is put and answers from the page cache (`benches/transfer`); it runs on the same cores,"
        " and its processor time is not counted. Peak memory is that of the largest process;"
        f" {floor:.0f} MiB is the least that could be seen.",
        "",
        f"What one core does at best, over bytes in its cache: SHA-256 {best['sha256']:.2f} GiB/s ({1 / best['sha256']:.2f} CPU s/GiB),"
        f" md5 {best['md5']:.2f} GiB/s ({1 / best['md5']:.2f} CPU s/GiB). Both are serial within a file.",
        "",
        "## What was aimed at",
        "",
    ]
    lines += targets(results) + ["", "## What was measured"]
    for leg in results.costs:
        lines += table(results, leg)
    return "\n".join(lines) + "\n"


def write(path, report):
    """Replaces the measured part of the document."""
    before = path.read_text() if path.exists() else ""
    kept = before.partition(KEPT)[2] or "\n"
    path.write_text(f"{report}\n{KEPT}{kept}")
