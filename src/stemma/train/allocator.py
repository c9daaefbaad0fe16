"""Memory settings of a training process on Linux with glibc.

Every step frees and asks again for the same large blocks. By default glibc returns such blocks to the kernel, and each
new one costs a page fault per 4 KiB. Keeping them halves the faults and makes a step 6 % faster (17M parameters, batches of
8192 tokens, bf16) or 1 % (5M, 4096 tokens).
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Make malloc keep what is freed, for this process. Does nothing where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_MMAP_MAX, 0)  # large blocks from the heap, which is kept, not from mmap, which is not
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_TOP_PAD, 64 << 20)
    mallopt(_M_ARENA_MAX, 1)  # one heap: backward runs in another thread and would keep blocks of its own
