"""The `cdb` command: settings and composition behind the gateway's command line."""

import hashlib
import os
from pathlib import Path

import platformdirs


def _keep_kernels() -> None:
    """Give numba's compiled kernels a folder per source state.

    Its own cache looks only at the file of a kernel, not at the kernels it calls in other files: after an update it
    would go on with old arithmetic, and a ledger must not depend on what was compiled when.
    """
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in ("domain", "gateways"):
        for path in sorted((root / room).rglob("*.py")):
            digest.update(path.read_bytes())
    folder = platformdirs.user_cache_path("claire-de-binare", appauthor=False) / "kernels" / digest.hexdigest()[:16]
    os.environ.setdefault("NUMBA_CACHE_DIR", str(folder))


def main() -> None:
    """Entry point of the console script."""
    _keep_kernels()
    from gateways.cli import run_app
    from ops.desk import Desk

    run_app(Desk)


if __name__ == "__main__":
    main()
