"""Real processes under a seeded load and seeded faults, and a checker of what became of it: `python -m chaos`."""
