"""Measures what it buys to compute outside the web process: request latency and throughput under CPU-bound jobs."""
