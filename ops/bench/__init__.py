"""Benchmarks: every figure is measured in one run beside its baseline; nothing here decides whether a test passes."""
