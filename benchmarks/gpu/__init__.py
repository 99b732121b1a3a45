"""Parts of benchmarks/on_a_gpu.py: each measures one thing within its share of the minutes, and can be resumed."""
