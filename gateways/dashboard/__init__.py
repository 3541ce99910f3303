"""The dashboard: web pages of one desk on the API's app, each of them at any moment of the past."""

from gateways.dashboard.mounting import mount

__all__ = ["mount"]
