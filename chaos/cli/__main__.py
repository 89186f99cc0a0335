"""Makes `python -m chaos.cli` the same as `petrel`."""

import sys

from chaos.cli.petrel import main

sys.exit(main())
