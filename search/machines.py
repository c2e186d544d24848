"""Machines of a search that are reachable over ssh: run something there, fetch files from there.

Host keys are treated as by `ssh -o StrictHostKeyChecking=accept-new`: a machine that answers with
another key than last time is refused; one that was never met is remembered in ~/.ssh/known_hosts.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paramiko

NO_SSHD = "another program than sshd has this port, or sshd has no room"
KNOWN = threading.Lock()  # of known_hosts, which machines are added to while others are looked up


@dataclass(frozen=True)
class Machine:
    host: str
    port: int
    user: str
    password: str = ""
    key_file: str = ""
    passphrase: str = ""
    python_path: str = ""  # the folder that holds python; empty takes that of PATH

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Remember(paramiko.MissingHostKeyPolicy):
    """Adds the key of a machine that was never met to known_hosts, as ssh writes it."""

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        file = known_hosts()
        with KNOWN:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unended = file.is_file() and file.read_bytes()[-1:] not in (b"", b"\n")  # by an editor
            with open(file, "a") as known:
                known.write("\n" * unended + f"{hostname} {key.get_name()} {key.get_base64()}\n")


def known_hosts() -> Path:
    return Path("~/.ssh/known_hosts").expanduser()


class Connection:
    """An open ssh connection; use it through connect()."""

    def __init__(self, machine: Machine, client: paramiko.SSHClient) -> None:
        self.machine, self.client = machine, client

    def run(self, command: str, given: bytes = b"", timeout: float = 60) -> Answer:
        """Runs `command` in the user's shell there, with `given` as its input. Raises OSError after `timeout` s
        without a word."""
        channel = self.client.get_transport().open_session(timeout=timeout)
        channel.settimeout(timeout)
        channel.exec_command(command)
        if given:
            channel.sendall(given)
        channel.shutdown_write()
        out = channel.makefile("rb").read().decode(errors="replace")
        err = channel.makefile_stderr("rb").read().decode(errors="replace")
        return Answer(channel.recv_exit_status(), out, err)

    def python(self, script: str, *words: str, timeout: float = 60) -> Answer:
        """Runs a Python script there with the machine's interpreter, its arguments without blanks or quotes."""
        folder = self.machine.python_path
        names = [f"{folder}/python", f"{folder}/python3"] if folder else ["python", "python3"]
        tries = " || ".join(f"command -v {name}" for name in names)
        command = f'interpreter=$({tries}) || exit 127; exec "$interpreter" - {" ".join(words)}'
        return self.run(command, script.encode(), timeout)

    def sftp(self) -> paramiko.SFTPClient:
        return self.client.open_sftp()


@contextmanager
def connect(machine: Machine, timeout: float = 10) -> Iterator[Connection]:
    """Raises ValueError for what the user must mend, OSError where the machine does not answer."""
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(Remember())
    try:
        with KNOWN:
            if known_hosts().is_file():
                client.load_host_keys(str(known_hosts()))
        client.connect(
            machine.host,
            machine.port,
            machine.user,
            password=machine.password or None,
            pkey=read_key(machine) if machine.key_file else None,
            timeout=timeout,
            banner_timeout=timeout,
            auth_timeout=timeout,
            allow_agent=not (machine.key_file or machine.password),
            look_for_keys=not (machine.key_file or machine.password),
        )
        yield Connection(machine, client)
    except paramiko.BadHostKeyException as error:
        raise ValueError(
            f"{machine} shows another host key than it used to; if it was set up anew, run "
            f"ssh-keygen -R {machine.host} and ssh to it once"
        ) from error
    except paramiko.AuthenticationException as error:
        means = f"the key {machine.key_file}" if machine.key_file else "the password"
        raise ValueError(
            f"{machine} refuses {means} for user {machine.user}; check `user`, and that the public key stands in "
            "its ~/.ssh/authorized_keys"
        ) from error
    except paramiko.SSHException as error:
        if "banner" in str(error):  # paramiko adds what the system said, where it said anything
            raise OSError(f"{machine} sends no greeting; {NO_SSHD}") from error
        raise OSError(f"{machine}: {error}") from error
    except (EOFError, ConnectionError) as error:  # while the greeting was sent, or later
        raise OSError(f"{machine} hung up; {NO_SSHD}, or the connection broke off") from error
    except paramiko.ssh_exception.NoValidConnectionsError as error:
        raise OSError(f"{machine}: nothing answers at this port; check `host`, `port` and that sshd runs") from error
    except (socket.gaierror, TimeoutError) as error:
        raise OSError(f"{machine} cannot be reached ({error or 'no answer'}); check `host` and the network") from error
    finally:
        client.close()


def read_key(machine: Machine) -> paramiko.PKey:
    """The private key of a machine. Raises ValueError with what is wrong with the file."""
    path = Path(machine.key_file).expanduser()
    if not path.is_file():
        raise ValueError(
            f"{machine}: the key file {path} does not exist; make one with ssh-keygen -t ed25519 -f {path}"
        )
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{machine}: the key file {path} can be read by others; chmod 600 {path}")
    if path.read_text(errors="replace").startswith(("-----BEGIN PRIVATE", "-----BEGIN ENCRYPTED PRIVATE")):
        raise ValueError(
            f"{machine}: {path} is a PKCS8 key, which NNI cannot read; rewrite it with ssh-keygen -p -f {path} -m PEM"
        )
    try:
        return paramiko.PKey.from_path(path, machine.passphrase.encode() or None)
    except paramiko.PasswordRequiredException as error:
        raise ValueError(f"{machine}: the key {path} needs its passphrase; set sshPassphrase (v2 schema)") from error
    except (paramiko.SSHException, ValueError, TypeError) as error:
        if "password-protected" in str(error):
            raise ValueError(
                f"{machine}: the key {path} needs its passphrase; set sshPassphrase (v2 schema)"
            ) from error
        raise ValueError(f"{machine}: {path} cannot be read as a private key: {error}") from error


def machines_of(config: dict[str, Any]) -> list[Machine]:
    """The machineList of an experiment config in NNI's v2 schema; empty for a local search."""
    service = config.get("trainingService") or {}
    return [
        Machine(
            host=str(entry["host"]),
            port=int(entry.get("port") or 22),
            user=str(entry["user"]),
            password=entry.get("password") or "",
            key_file="" if entry.get("password") else entry.get("sshKeyFile") or "~/.ssh/id_rsa",
            passphrase=entry.get("sshPassphrase") or "",
            python_path=(entry.get("pythonPath") or "").rstrip("/"),
        )
        for entry in service.get("machineList") or []
    ]
