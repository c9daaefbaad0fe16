"""`python -m stemma`, the same as the `stemma` command."""

import sys

from stemma.cli import main

sys.exit(main())
