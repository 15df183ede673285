"""Measures what Offload claims; each folder is a benchmark with a make target of its own."""
