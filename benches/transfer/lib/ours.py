"""The program itself, as it is released: the real daemons, from the start of the process to the package's last step."""
import json
import os
import shutil

from .measure import Failed, Process
from .servers import BUCKET, KEY, SECRET

NAME = "bench"


class Site:
    """Directories and configuration of one run; everything is new each time."""

    def __init__(self, dir, server, checksum, prefix, mix, md5s=None):
        self.dir, self.server, self.checksum, self.prefix = dir, server, checksum, prefix
        # Where the sink looks for the files: …/<set>/r1/<file>.
        self.kind, self.name = ("samples", f"{NAME}-HG12345677") if md5s else ("analyses-results/singles", mix.name)
        self.landed = dir / "landing" / self.name
        shutil.rmtree(dir, ignore_errors=True)
        for name in ["delivery", "orders", "transfer", "landing", "nsc", "tsd"]:
            (dir / name).mkdir(parents=True)
        (dir / "secret").write_text(SECRET)
        (dir / "secret").chmod(0o600)
        self._drop_in(mix, md5s)

    def _drop_in(self, mix, md5s):
        place = self.dir / "transfer/production/normal" / self.kind / self.name
        place.mkdir(parents=True)
        for file in mix.files:
            os.link(file, place / file.name)
        if md5s:
            reads = [{"path": f.name, "md5": md5s[f.name], "size": n} for f, n in zip(mix.files, mix.sizes)]
            sample = {"name": self.name, "sample_id": "HG12345677", "project": NAME, "sequencer_id": "LH00534"}
            sample |= {"flowcell_id": "22ABCDLT4", "flowcell": "A", "lane": 1, "capturekit": "wgs", "taqman": None}
            (place / f"{self.name}.sample").write_text(json.dumps(sample | {"stats": {}, "reads": reads}))
        (place / "COMPLETE").touch()

    def _conf(self, role):
        d, s = self.dir, self.server
        lines = f"""
            role = "{role}"
            host = "bench"
            state.dir = "{d}/{role}/state"
            log.dir = "{d}/{role}/log"
            log.level = "warn"
            work.rhythm = "20 ms"
            store.endpoint = "{s.endpoint}"
            store.bucket = "{BUCKET}"
            store.prefix = "{self.prefix}"
            store.access_key = "{KEY}"
            store.secret_key_file = "{d}/secret"
            store.checksum = "{self.checksum}"
            """
        lines += f'store.ca_file = "{s.ca}"\n' if s.ca else ""
        lines += {
            # Random bytes are no FASTQ: md5 and size are checked, not what stands in them.
            "nsc": f"""
            orders.source = "directory"
            orders.directory = "{d}/orders"
            orders.reads = "digest"
            delivery.root = "{d}/delivery"
            transfer.root = "{d}/transfer"
            """,
            "tsd": f"""
            watch.interval = "50 ms"
            disk.floor = "64 MiB"
            landing."analyses-results/singles" = {{ destination = "{d}/landing", ready = true }}
            """,
        }[role]
        file = d / f"{role}.toml"
        file.write_text("\n".join(line.strip() for line in lines.splitlines()))
        return file

    def _daemon(self, program, role, *more):
        # Where the configuration does not reach: the system's trust can be named by this variable.
        env = {"SSL_CERT_FILE": str(self.server.ca)} if self.server.ca else {}
        words = [program, "run", "--until-eof", "--role", role, "--config", self._conf(role), *more]
        return Process(words, self.dir / f"{role}.said", env)

    def _is_sent(self):
        return (self.dir / "transfer/production/transferred/normal" / self.kind / self.name).is_dir()

    def _is_ready(self):
        return (self.landed / "READY").is_file()

    def up(self, program):
        """Surveyed, read once, hashed, sent, manifest and commit put, moved to its rest."""
        return self._daemon(program, "nsc", "--only", "uploader").until(self._is_sent)

    def whole_way(self, program, mix):
        """The same and, beside it, the receiver: fetched, fsynced, read back, compared, put in place, marked READY."""
        sender, receiver = self._daemon(program, "nsc", "--only", "uploader"), self._daemon(program, "tsd")
        try:
            down = receiver.until(self._is_ready)
            up = sender.until(self._is_sent)
        finally:
            sender.kill()
            receiver.kill()
        for file, size in zip(mix.files, mix.sizes):
            if (self.landed / file.name).stat().st_size != size:
                raise Failed(f"{file.name} did not land whole")
        # Both at the same time: the wall clock is the receiver's, who is done last; the peak that of one process.
        down.cpu, down.peak = down.cpu + up.cpu, max(down.peak, up.peak)
        return down
