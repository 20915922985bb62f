"""What scripts/check_gpu.py checks on a user's machine, and what the benchmarks measure with."""
