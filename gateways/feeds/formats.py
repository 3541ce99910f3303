"""The registry of file formats: recognised by content, in this order; a new format is a file and a line here."""

from gateways.feeds import binarycom, fxcm, histdata, lean, mt5, plain
from gateways.feeds.sheet import Format, unknown_format
from gateways.feeds.sources import Source

FORMATS: tuple[Format, ...] = (
    *binarycom.FORMATS,
    *fxcm.FORMATS,
    *histdata.FORMATS,
    *mt5.FORMATS,
    *lean.FORMATS,
    *plain.FORMATS,
)


def names() -> list[str]:
    """What --format accepts beside auto: a format, or a family such as histdata."""
    own = [known.name for known in FORMATS]
    return sorted({*own, *(name.partition("-")[0] for name in own)})


def format_of(source: Source, wanted: str) -> Format:
    """The format of a text: `auto`, a name, or a family's name. Raises UnknownFormat with the line and the reason."""
    if wanted == "auto":
        offered = FORMATS
    else:
        offered = tuple(f for f in FORMATS if f.name == wanted or f.name.partition("-")[0] == wanted)
    for known in offered:
        if known.recognises(source):
            return known
    if not offered:
        raise unknown_format(source, f"--format {wanted!r} is not known. Use auto or one of {', '.join(names())}.")
    if wanted == "auto":
        raise unknown_format(source, f"no known format begins so. Known are {', '.join(f.name for f in FORMATS)}.")
    raise unknown_format(source, f"not {wanted}, which has {' or '.join(f.expects for f in offered)}. Use auto.")
