"""A disk small enough to be filled: a tmpfs of our own, where this machine lets us mount one."""

import shutil
import subprocess
from pathlib import Path

SIZE = "48m"
_CHUNK = bytes(1024 * 1024)


class SmallDisk:
    """A folder that is a file system of its own, or, where it cannot be, a plain one; `refusal` says why then."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir()
        self.refusal = _mount(folder)

    def fill(self) -> None:
        """Use up all there is."""
        with self._ballast.open("wb", buffering=0) as file:
            try:
                while file.write(_CHUNK):
                    pass
            except OSError:
                return

    def relieve(self) -> None:
        """Give back what was used up."""
        self._ballast.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it; what was on it is gone."""
        if not self.refusal:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


def _mount(folder: Path) -> str:
    mount = shutil.which("mount")
    if mount is None:
        return "this system has no mount"
    command = [mount, "-t", "tmpfs", "-o", f"size={SIZE}", "offload-chaos", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "to mount a small file system takes root"
