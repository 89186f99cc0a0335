"""The final read-back: every device reads all that it may see from number 0 on a fresh connection."""
