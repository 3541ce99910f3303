"""The `cdb` command: the gateway's command line over the desk's operations."""

from typing import Any

from gateways.cli import Operations, run_app


def _desk(**options: Any) -> Operations:
    from ops.desk import Desk  # numba and the servers load only when a command needs them

    return Desk(**options)


def main() -> None:
    """Entry point of the console script."""
    run_app(_desk)


if __name__ == "__main__":
    main()
