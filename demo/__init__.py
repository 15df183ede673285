"""Shows Offload at work: `python -m demo` trains a real model, `python -m demo.up` keeps the services running."""
