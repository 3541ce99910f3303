"""The parts of the HTTP API; gateways/http_api.py puts them together."""
