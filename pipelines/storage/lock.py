"""One run at a time on a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.schema.errors import BusyError, DeliveryError

NAME = ".lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Lock a folder, which is created; the kernel unlocks it when the process ends, so that no lock goes stale.

    Raises
    ------
    BusyError
        At once where another process holds the lock, naming it.
    DeliveryError
        Where the folder cannot be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / NAME).open("a+", encoding="utf-8")
    except OSError as error:
        raise DeliveryError(f"cannot write to {folder}: {error.strerror}; nothing was published") from None
    with file:
        try:
            # not filelock, which empties the file as it opens it: the holder would have no name
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise BusyError(f"{folder} is held by {holder}; wait for it to end") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        yield
