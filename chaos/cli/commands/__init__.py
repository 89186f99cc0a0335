"""The commands, one file a group. A file registers its commands by itself (chaos/cli/command.py)."""
