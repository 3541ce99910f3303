"""The agents' gateway (it arrives with the MCP work)."""
