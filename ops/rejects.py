"""Rows that were not taken, kept where a person can read them."""

from adapters.embedded import private_folder
from gateways.feeds.files import FileSet, write_rejects
from ops.datasets import dataset_name
from ops.settings import Settings


def written_rejects(settings: Settings, files: FileSet) -> str | None:
    """The path of the rejects file, None when every row was taken."""
    if not files.rejects:
        return None
    path = private_folder(settings.data_dir, "rejects") / f"{dataset_name(files)}.csv"
    write_rejects(path, files.rejects)
    return str(path)
