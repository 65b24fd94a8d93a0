"""Who runs what, in turn, so many rounds."""
import shutil
import sys

from .measure import Failed
from .mixes import Mix
from .ours import Site
from .servers import SeaweedFs, Sink

# What the store checks by itself decides which checksum the site configures; the signature over every byte works with all.
UNSIGNED, SIGNED = "crc64nvme", "signed"


def say(text):
    print(text, file=sys.stderr, flush=True)


class Results:
    """Costs by leg (mix, line) and by who it was; why somebody failed."""

    def __init__(self):
        self.costs, self.failures, self.bytes, self.words = {}, {}, {}, {}

    def of(self, leg, who):
        return self.costs.get(leg, {}).get(who, [])


class Course:
    """The whole of it."""

    def __init__(self, program, sink, peers, scratch, rounds, quick):
        self.program, self.sink, self.peers, self.scratch = program, sink, peers, scratch
        self.rounds, self.quick = rounds, quick
        self.results, self.runs = Results(), 0

    def _ours(self, checksum, md5s=None):
        def up(server, mix, key):
            return Site(self.scratch / "site", server, checksum, key, mix, md5s).up(self.program)

        return up

    def _our_whole_way(self, checksum):
        def whole_way(server, mix, key):
            return Site(self.scratch / "site", server, checksum, key, mix).whole_way(self.program, mix)

        return whole_way

    def _field(self, mix):
        """Who takes part with this mix."""
        ours, p = self._ours(UNSIGNED), self.peers
        if mix.name == "four":
            signed, md5s = self._ours(SIGNED), mix.md5s()
            field = {"ours": ours, "ours, signed": signed, "s5cmd": p.s5cmd, "rclone": p.rclone, "aws-cli": p.aws, "aws CRT": p.crt}
            return field | {"ours, md5 too": self._ours(UNSIGNED, md5s), "md5sum + sha256sum + s5cmd": p.chain_with_md5}
        if mix.name == "one":
            return {"ours": ours, "s5cmd": p.s5cmd, "rclone": p.rclone, "aws CRT": p.crt}
        if mix.name == "small":
            return {"ours": ours, "s5cmd": p.s5cmd, "rclone": p.rclone, "aws-cli": p.aws}
        if mix.name == "real":
            return {"ours": ours, "s5cmd": p.s5cmd, "s3cmd": p.s3cmd}
        return {"ours": self._our_whole_way(UNSIGNED), "sha256sum + s5cmd + s5cmd + sha256sum -c": p.whole_way}

    def _run(self, leg, who, what, server, mix):
        """`server`: whose counts show that everything was sent; none: the receiver's digests show it."""
        self.runs += 1
        found, failed = self.results.costs.setdefault(leg, {}), self.results.failures.setdefault(leg, {})
        if who in failed:
            return
        try:
            if server:
                server.received()
            cost = what(server, mix, f"r{self.runs}")
            received = server.received() if server else mix.bytes
            if received < mix.bytes:
                raise Failed(f"{who} sent {received} bytes of {mix.bytes}")
            found.setdefault(who, []).append(cost)
            say(f"  {who:45} {cost.wall:8.2f} s  {cost.cpu:8.2f} CPU s  {cost.peak:6.0f} MiB")
        except Failed as why:
            failed[who] = str(why)
            say(f"  {who:45} FAILED: {why}")
        finally:
            shutil.rmtree(self.scratch / "site", ignore_errors=True)

    def _on_the_sink(self, mix, field):
        for tls in [False, True]:
            leg = (mix.name, "TLS" if tls else "plain")
            server = Sink(self.sink, mix.dir.parent, self.scratch, tls)
            try:
                for n in range(self.rounds):
                    say(f"{mix.words}, sink, {leg[1]}, round {n + 1}")
                    for who, what in field.items():
                        self._run(leg, who, what, server, mix)
            finally:
                server.stop()

    def _on_seaweedfs(self, mix, field):
        leg = (mix.name, "SeaweedFS")
        for n in range(self.rounds):
            say(f"{mix.words}, SeaweedFS, round {n + 1}")
            for who, what in field.items():
                # Always an empty one, or it would slow down, and fill the scratch folder.
                self._run(leg, who, self._on_a_fresh_one(what), None, mix)

    def _on_a_fresh_one(self, what):
        def run(_, mix, key):
            try:
                server = SeaweedFs(self.peers.bin / "weed", self.scratch)
                try:
                    self.peers.make_bucket(server)
                    return what(server, mix, key)
                finally:
                    server.stop()
            finally:
                shutil.rmtree(self.scratch / "seaweedfs", ignore_errors=True)

        return run

    def run(self, names):
        for name in names:
            mix = Mix(name, self.scratch / "data", self.quick)
            self.results.bytes[name], self.results.words[name] = mix.bytes, mix.words
            try:
                field = self._field(mix)
                self._on_the_sink(mix, field)
                if name == "whole":
                    self._on_seaweedfs(mix, field)
            finally:
                shutil.rmtree(mix.dir)
        return self.results
