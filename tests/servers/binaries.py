import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.servers.errors import ServersUnavailableError

_PACKAGES = {"rabbitmq-server": ("rabbitmq-server", "epmd"), "postgresql": ("initdb", "postgres")}

# Looked at before PATH: Debian keeps PostgreSQL's servers off it, and what it has there as rabbitmq-server insists on
# the folders of the system's own broker.
_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/lib/rabbitmq/bin",
    "usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin",
)

# Installed packages start their services unless the policy says no. A test suite wants the programs alone.
_INSTALL_SCRIPT = """
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
install "$@" || { apt-get update -qq; install "$@"; }
"""


def program(name: str) -> str:
    """Give the path of an installed program, in its newest version; raises ServersUnavailableError without one."""
    found = [str(path) for folder in _FOLDERS for path in Path("/").glob(f"{folder}/{name}")]
    path = max(found, key=_version, default=None) or shutil.which(name)
    if path is None:
        raise ServersUnavailableError(f"{name} is not installed")
    return path


def install_missing() -> None:
    """Install the Debian packages of the servers that are missing.

    Raises ServersUnavailableError where that needs a question or another system, or fails.
    """
    missing = [package for package, programs in _PACKAGES.items() if not all(map(_is_installed, programs))]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise ServersUnavailableError(f"{_listed(missing)} not installed, and this system has no apt-get to do it")
    become_root = _become_root()
    if become_root is None:
        raise ServersUnavailableError(f"{_listed(missing)} not installed, and to do it takes root or passwordless sudo")
    print(f"Installing {_listed(missing)} ...", flush=True)
    command = [*become_root, "sh", "-c", _INSTALL_SCRIPT, "sh", *missing]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ServersUnavailableError(f"apt-get cannot install {_listed(missing)}:\n{done.stderr.strip()[-1000:]}")


def _is_installed(name: str) -> bool:
    try:
        return bool(program(name))
    except ServersUnavailableError:
        return False


def _become_root() -> list[str] | None:
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def _listed(packages: list[str]) -> str:
    return " and ".join(packages)


def _version(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]
