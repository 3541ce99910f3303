"""Events of aggregates in their order, as governance itself folds them: one that cannot stand where it does is nobody's
decision, so no read model shows it."""

from domain.aggregate import Event

Versions = dict[str, int]  # by aggregate, the version of the newest event


def follows(versions: Versions, event: Event) -> bool:
    """Is this the aggregate's next event? It is noted then."""
    if event.originator_version != versions.get(event.originator_id, 0) + 1:
        return False
    versions[event.originator_id] = event.originator_version
    return True
