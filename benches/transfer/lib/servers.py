"""Where the bytes go: the sink and source of benches/transfer (they cost next to nothing), or SeaweedFS."""
import json
import os
import socket
import subprocess
import time
from pathlib import Path

from .measure import Failed

KEY, SECRET, BUCKET = "GK31c2f218a2e44f485b94239e", "7d37d093435a41f2" * 4, "bench"


def start(command, log, **how):
    """A server; it is killed when we are gone, however that came about."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--", *map(str, command)], stderr=open(log, "ab"), **how)


class Sink:
    """Discards what is put, serves what lies in `data`."""

    def __init__(self, program, data, scratch, tls):
        self.ca = scratch / "ca.pem" if tls else None
        words = [program, "serve", "--data", data] + (["--tls", self.ca] if tls else [])
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.log = scratch / "sink.log"
        self.child = start(words, self.log, **pipes)
        said = self.child.stdout.readline().split()
        if len(said) != 2:
            raise Failed(f"the sink did not start:\n{self.log.read_text(errors='replace')[-3000:]}")
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{said[1]}"

    def received(self):
        """Bytes of bodies since this was asked last."""
        try:
            self.child.stdin.write("?\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass  # what it printed at its end, if anything, is looked at
        said = self.child.stdout.readline().split()
        if len(said) < 4:
            raise Failed(f"the sink has ended; see its words:\n{self.log.read_text(errors='replace')[-3000:]}")
        return int(said[3])

    def stop(self):
        self.child.stdin.close()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class SeaweedFs:
    """A real store, on the same two cores."""

    ca = None

    def __init__(self, weed, scratch):
        self.dir = scratch / "seaweedfs"
        self.dir.mkdir()
        identity = {"name": "bench", "actions": ["Admin", "Read", "Write", "List", "Tagging"]}
        identity["credentials"] = [{"accessKey": KEY, "secretKey": SECRET}]
        config = self.dir / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(8)]
        self.ports = ports = [one.getsockname()[1] for one in held]
        for one in held:
            one.close()
        words = [weed, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=100", "-master.telemetry=false"]
        # These would listen on ports of their own choice.
        words += ["-s3.port.iceberg=0", "-s3.port.lance=0"]
        words += ["-s3.autoCreateBucket=true", "-master.volumeSizeLimitMB=1024", f"-dir={self.dir}", f"-s3.config={config}"]
        for n, name in enumerate(["master.port", "volume.port", "filer.port", "s3.port"]):
            words += [f"-{name}={ports[2 * n]}", f"-{name}.grpc={ports[2 * n + 1]}"]
        env = {**os.environ, "HOME": str(self.dir)}
        self.child = start(words, scratch / "seaweedfs.log", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=env)
        self.endpoint = f"http://127.0.0.1:{ports[6]}"
        self._wait(ports[6], scratch)

    def _wait(self, port, scratch):
        until = time.monotonic() + 60
        while time.monotonic() < until and self.child.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 2).close()
                time.sleep(3)  # it listens; its volumes need a moment more
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        said = (scratch / "seaweedfs.log").read_text(errors="replace")[-2000:]
        raise Failed(f"SeaweedFS did not start\n{said}")

    def stop(self):
        self.child.kill()
        self.child.wait()
        for port in self.ports:  # it leaves sockets behind
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink()
