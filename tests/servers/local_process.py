import os
import pwd
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from tests.servers import binaries
from tests.servers.errors import ServerFailedError
from tests.servers.run import kill_family, kill_members, record_process

_STOP_LIMIT_SECONDS = 60.0


class LocalProcess:
    """A shell script that becomes a server, in a session and a folder of its own."""

    def __init__(
        self,
        script: str,
        arguments: list[str],
        *,
        folder: Path,
        account: pwd.struct_passwd | None,
        environment: dict[str, str],
        stop_signal: signal.Signals,
    ) -> None:
        self._command = ["/bin/sh", "-c", script, *arguments]
        self._folder = folder
        self._account = account
        # Nothing else of the caller's: PGPORT or RABBITMQ_NODENAME would point at the system's own server.
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"} | environment
        self._stop_signal = stop_signal
        self._log = folder.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self.is_running():
            return
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
                user=self._account and self._account.pw_uid,
                group=self._account and self._account.pw_gid,
                extra_groups=[] if self._account else None,
            )
        record_process(self._folder.with_suffix(".pid"), self._process.pid)

    def stop(self) -> None:
        if self._process is None or not self.is_running():
            return
        companions = psutil.Process(self._process.pid).children(recursive=True)
        self._process.send_signal(self._stop_signal)
        self._process.wait(_STOP_LIMIT_SECONDS)
        kill_members(companions)

    def kill(self) -> None:
        if self._process is None or not self.is_running():
            return
        kill_family(psutil.Process(self._process.pid))
        self._process.wait()

    def remove(self) -> None:
        self.kill()

    def freeze(self) -> None:
        for member in self._family():
            with suppress(psutil.NoSuchProcess):
                member.suspend()

    def thaw(self) -> None:
        for member in reversed(self._family()):
            with suppress(psutil.NoSuchProcess):
                member.resume()

    def execute(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [binaries.program(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._folder,
            env=self._environment,
            user=self._account and self._account.pw_uid,
            group=self._account and self._account.pw_gid,
            extra_groups=[] if self._account else None,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailedError(f"{program} ended with status {done.returncode}: {done.stdout[-1000:]}")
        return done.stdout

    def _family(self) -> list[psutil.Process]:
        if self._process is None or not self.is_running():
            return []
        leader = psutil.Process(self._process.pid)
        return [leader, *leader.children(recursive=True)]

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
