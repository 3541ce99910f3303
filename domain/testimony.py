"""What somebody says, on the record. A testimony is nobody's fact: it decides nothing, and a run that reads it is
tainted."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TEXT_MAX = 20_000


class Testimony(BaseModel):
    """An entry of CALLS. `asserted_by` said it, acting in `role`; `untrusted`: it was not a person at the desk."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["testimony"] = "testimony"
    occurred_at_ns: int = Field(ge=0, lt=2**63)
    asserted_by: str = Field(min_length=1, max_length=128)
    role: str = ""
    category: str = Field(pattern=r"^[a-z_]{1,32}$", description="conversation, analysis, agents, ...")
    text: str = Field(min_length=1, max_length=TEXT_MAX)
    run: str = Field("", max_length=64)
    untrusted: bool
