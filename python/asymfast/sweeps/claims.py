"""Who works on what: exclusive claims among processes and hosts that share a folder.

A claim is a file ``<name>.<number>``, made by O_CREAT | O_EXCL, which exactly one process can
succeed with, on NFS too. The one with the highest number counts. Whoever finds it given up makes
the next one, which again only one can; nobody ever removes a claim that somebody might judge at
this moment. They are removed together, once the work they are about is done for good.

A claim is given up when its time stamp is set to 0, when its process on this host is dead, or, of
another host, when its time stamp, renewed while it is held, is old. How old is told by the clock
of the file system, not by that of either host.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BEATS = 12  # renewals before a claim would count as old: some may be late
_GIVEN_UP = 1e9  # seconds; no clock of a file system shows a time before 2001


class Claims:
    """The claims in a folder.

    Parameters
    ----------
    folder : pathlib.Path
        Shared by all who claim; must exist.
    stale_after : float
        Seconds without a renewal after which a claim of another host counts as given up. Well
        above the time for which a network file system may show old time stamps, up to a minute.
    """

    def __init__(self, folder: Path, stale_after: float) -> None:
        self.folder = folder
        self.stale_after = stale_after

    @contextmanager
    def hold(self, name: str, done: Callable[[], bool]) -> Iterator[bool]:
        """Claim a name while the block runs.

        Parameters
        ----------
        name : str
            What to claim.
        done : callable
            Whether the work is done for good. Then nobody gets it, and its claims are removed.

        Yields
        ------
        bool
            Whether we have it.
        """
        claim = None if done() else self._make(name)
        try:
            # Between our look and our claim another may have done the work and removed its claims.
            if claim is None or done():
                yield False
            else:
                with self._renewed(claim):
                    yield True
        finally:
            if claim is not None:
                with suppress(FileNotFoundError):
                    os.utime(claim, (0, 0))
                if done():
                    self.remove(name)

    def remove(self, name: str) -> None:
        """Remove all claims of a name, whose work must be done for good."""
        for claim in reversed(self._claims(name)):  # what a kill leaves has no gaps
            claim.unlink(missing_ok=True)

    def count(self, name: str) -> int:
        """Return how often a name has been claimed, if its work is not done."""
        return len(self._claims(name))

    def _claims(self, name: str) -> list[Path]:
        claims: list[Path] = []
        while (claim := self.folder / f"{name}.{len(claims)}").exists():
            claims.append(claim)
        return claims

    def _make(self, name: str) -> Path | None:
        claims = self._claims(name)
        if claims and not self._given_up(claims[-1]):
            return None
        claim = self.folder / f"{name}.{len(claims)}"
        host, pid = _host(), os.getpid()
        owner = {"host": host, "pid": pid, "started": _started(pid) if host else ""}
        try:
            with claim.open("x", encoding="utf-8") as file:
                json.dump(owner, file)
        except FileExistsError:
            return None
        return claim

    def _given_up(self, claim: Path) -> bool:
        try:
            renewed = claim.stat().st_mtime
            owner = json.loads(claim.read_text(encoding="utf-8"))
        except FileNotFoundError:  # the work is done
            return True
        except ValueError:  # its maker has not written it yet, or was killed before it could
            owner = {"host": None}
        if renewed < _GIVEN_UP:
            return True
        if owner["host"] is not None and owner["host"] == _host():
            return _dead(owner["pid"], owner["started"])
        return clock(self.folder) - renewed > self.stale_after

    @contextmanager
    def _renewed(self, claim: Path) -> Iterator[None]:
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.stale_after / _BEATS):
                with suppress(OSError):  # the file server may be away for a while
                    os.utime(claim)

        thread = threading.Thread(target=renew, name=f"claim {claim.name}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def clock(folder: Path) -> float:
    """Return the time of the file system that a folder is on, which is its server's."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".now-") as probe:
        return os.stat(probe.name).st_mtime


def _host() -> str | None:
    """Return what those share who see each other's processes; None where they cannot be seen."""
    if sys.platform == "win32":
        return None
    parts = [os.uname().nodename]
    # Containers may share a name, and a machine keeps its name when it is started anew.
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _dead(pid: int, started: str) -> bool:
    """Whether the process of this host that was started then is no more.

    Numbers of processes are used again, so that the number alone does not say who it is.
    """
    now = _started(pid)
    return now is None or bool(now and started and now != started)


def _started(pid: int) -> str | None:
    """Return when a process was started, "" where that cannot be known; None if it is dead."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # another user's
        pass
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # a system without /proc
        return ""
    return None if state in ("Z", "X") else rest[18]
