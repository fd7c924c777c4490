"""SmallRye Reactive Messaging, as in Quarkus.

The message's own headers are put *behind* those of the dead letter. So of a message that was dead-lettered
before, the first ones are this time's.
"""

from __future__ import annotations

from typing import Final

from workbench.sources.dead_letters.expressions import whole, word
from workbench.sources.dead_letters.record_format import RECORD_TIME, RecordFormat

_PREFIX: Final = "dead-letter-"

SMALLRYE: Final = RecordFormat(
    name="smallrye",
    marks=(f"{_PREFIX}exception-class-name", f"{_PREFIX}reason", f"{_PREFIX}topic"),
    columns={
        "dead_lettered_at": RECORD_TIME,
        "origin_topic": word(f"{_PREFIX}topic", "first"),
        "origin_partition": whole(f"{_PREFIX}partition", "first"),
        "origin_offset": whole(f"{_PREFIX}offset", "first"),
        "error_class": word(f"{_PREFIX}exception-class-name", "first"),
        "error_message": word(f"{_PREFIX}reason", "first"),
    },
)
