"""`python -m chaos.cli` is `petrel`."""

import sys

from chaos.cli.petrel import main

sys.exit(main())
