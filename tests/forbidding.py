"""Forbids this process to make written memory executable, as some systems do, for tests in child processes."""

from __future__ import annotations

import ctypes
import errno
import mmap
import platform
import struct

PR_SET_MDWE, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 65, 38, 22, 2
MPROTECT = {"x86_64": 10, "aarch64": 226}
"""The number of the system call."""


def forbid(way: str) -> None:
    """``mdwe`` asks the kernel, ``seccomp`` refuses mprotect, as a policy of a container does.

    Where the kernel is too old for the first, the second is taken.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if way == "mdwe" and libc.prctl(PR_SET_MDWE, 1, 0, 0, 0) == 0:
        return
    load, equal, either, give = 0x20, 0x15, 0x45, 0x06
    steps = [
        (load, 0, 0, 0),  # the number of the call
        (equal, 0, 3, MPROTECT[platform.machine()]),
        (load, 0, 0, 16 + 2 * 8),  # its third argument
        (either, 0, 1, mmap.PROT_EXEC),
        (give, 0, 0, 0x00050000 | errno.EACCES),
        (give, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "no filter")
