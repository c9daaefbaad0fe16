"""What goes wrong in a user's hands, said in one sentence: what, where, what to do.

The command line prints the sentence and exits with `exit_code`; anything else that escapes is a bug of ours and
shows its traceback.
"""


class StemmaError(ValueError):
    """A mistake in the input, a setting or a file; the message is the whole explanation."""

    exit_code = 2


class CheckFailed(StemmaError):  # noqa: N818
    """The input was understood and a check on it failed: a wrong tensor, a certificate that does not hold."""

    exit_code = 1
