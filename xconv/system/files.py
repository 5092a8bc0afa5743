"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; after a power cut, too, it is the old one or the new one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(Path(folder, "a.txt"), "whole")
    ...     [(file.name, file.read_text()) for file in Path(folder).iterdir()]
    [('a.txt', 'whole')]
    """
    # the temporary file is in the folder of the target, because a rename between file systems is a copy
    target = path.resolve()
    # opened by name, not by mkstemp: a new file has the permissions that others of the user have
    name = target.with_name(f"{target.name}.{uuid.uuid4().hex}")
    try:
        with name.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, name)
        name.replace(target)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
