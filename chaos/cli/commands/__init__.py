"""The commands, one file per group. A file registers its commands by itself (chaos/cli/command.py)."""
