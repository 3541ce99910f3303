"""The pure core: facts, rules and kernels. No I/O, no clock, no randomness, no asyncio."""
