"""The data of one device: its state on disk, its keys, and its place among its owner's devices."""
