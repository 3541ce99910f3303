"""Signal handlers: one file a strategy; handler.py is the contract and the registry."""
