"""What belongs to this one device: its state on disk, its keys, its place among its owner's devices."""
