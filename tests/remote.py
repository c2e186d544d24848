"""Machines reachable over ssh, as far as one computer can be several: sshds with their own ports, keys and homes."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from walks import wait_for

from experiment import free_port

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
needs_sshd = pytest.mark.skipif(not SSHD or os.geteuid() != 0, reason="needs openssh-server (make system) and root")


@dataclass
class Box:
    """A stand-in for a machine: an sshd whose sessions have `home` as their HOME."""

    name: str
    port: int
    home: Path
    key: Path
    process: subprocess.Popen
    folder: Path
    address: str = "127.0.0.1"

    def entry(self, **changes):
        """Its machineList entry in the v2 schema."""
        return {
            "host": self.address,
            "port": self.port,
            "user": "root",
            "sshKeyFile": str(self.key),
            "pythonPath": str(Path(sys.executable).parent),
        } | changes

    def stop(self):
        """Ends sshd and its sessions, not what was started through them."""
        if self.process.poll() is not None:
            return
        family = [self.process, *psutil.Process(self.process.pid).children(recursive=True)]
        for process in family:
            with suppress(psutil.Error):
                if psutil.Process(process.pid).name().startswith("sshd"):
                    process.kill()
        self.process.wait()

    def start(self):
        self.process = serve(self.folder)
        wait_for(lambda: answers(self.address, self.port), 10)


def make_key(path, *words):
    """A key pair at `path`; words as ssh-keygen takes them."""
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, *(words or ["-t", "ed25519"])], check=True)
    return path


def make_box(folder, name, address="127.0.0.1", prefix=(), **settings):
    """A started Box in `folder`; `prefix` is put before sshd's command (ip netns exec …)."""
    folder = folder / name
    home = folder / "home"
    home.mkdir(parents=True)
    key, host_key = make_key(folder / "id_ed25519"), make_key(folder / "host_key")
    shutil.copy(f"{key}.pub", folder / "authorized_keys")
    port = free_port()
    lines = {
        "Port": port,
        "ListenAddress": address,
        "HostKey": host_key,
        "AuthorizedKeysFile": folder / "authorized_keys",
        "PidFile": "none",
        "UsePAM": "no",
        "StrictModes": "no",
        "PermitRootLogin": "yes",
        "Subsystem": "sftp internal-sftp",
        "MaxStartups": "100",
        # the interpreter finds its packages by itself; nothing of this machine's own home is seen
        "SetEnv": f"HOME={home}",
    } | settings
    (folder / "sshd_config").write_text("".join(f"{word} {value}\n" for word, value in lines.items()))
    (folder / "prefix").write_text("\n".join(prefix))
    Path("/run/sshd").mkdir(exist_ok=True)
    box = Box(name, port, home, key, serve(folder), folder, address)
    wait_for(lambda: answers(address, port), 10, lambda: (folder / "sshd.log").read_text())
    return box


def answers(address, port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((address, port)) == 0


def serve(folder):
    prefix = (folder / "prefix").read_text().split("\n") if (folder / "prefix").read_text() else []
    with open(folder / "sshd.log", "ab") as log:
        return subprocess.Popen([*prefix, SSHD, "-D", "-e", "-f", folder / "sshd_config"], stdout=log, stderr=log)


@pytest.fixture
def boxes(tmp_path):
    """make(name, **sshd settings) starts a Box; all are ended after the test, with what they started."""
    made = []

    def make(name="box", **words):
        made.append(make_box(tmp_path, name, **words))
        return made[-1]

    yield make
    for box in made:
        box.stop()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("HOME") == str(box.home):
                    process.kill()
