"""One hash for all that a log's events say."""

from __future__ import annotations

from workbench.event import COLUMNS
from workbench.store.view import EVENTS, View


def fingerprint(view: View) -> str:
    """Return ``<events>-<32 hex digits>``; the order of loading plays no part."""
    values = [
        # Times as whole microseconds: how they are written depends on settings.
        f"CAST({f'epoch_us({name})' if kind == 'TIMESTAMPTZ' else name} AS VARCHAR)"
        for name, kind in COLUMNS.items()
        if name != "position"
    ]
    # Event ids are unique in a log, so no two rows cancel each other out.
    count, mixed = view.rows(
        f"SELECT count(*), coalesce(bit_xor(md5_number(CAST(to_json([{', '.join(values)}]) AS VARCHAR))), 0) "
        f"FROM {EVENTS} WHERE {view.filter}"
    )[0]
    return f"{count}-{mixed & (2**128 - 1):032x}"
