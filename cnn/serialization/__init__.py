"""Files: torch's own format for tensors and checkpoints, written atomically and read without running anything in them."""
