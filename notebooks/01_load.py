# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Load events, and know that none is lost
#
# For whoever brings the events in. An answer is worth as much as the record beneath it, so loading makes two
# promises:
#
# - **each record once**, however often you load, and even if a load is killed half-way;
# - **each record somewhere**: stored, a duplicate, or rejected with its bytes and the reason. The counts add up.
#
# This notebook shows both on small files that you can read with your own eyes. It writes to a temporary folder.

# %% [markdown]
# ## 1. A file
#
# One JSON object on each line (NDJSON). The log has to know which stream an event belongs to, and its type;
# anything else may be absent. Common names are recognised: `aggregate_id` or `stream_id`, `type` or
# `event_type`, `timestamp` or `occurred_at`, `payload` or `data`.

# %%
import tempfile
from pathlib import Path

import workbench as wb

folder = Path(tempfile.mkdtemp(prefix="workbench-"))
orders = folder / "orders.ndjson"
created = (
    '{"aggregate_id": "order-1", "version": 1, "id": "e-1", "type": "OrderCreated", '
    '"timestamp": "2026-06-30T09:00:00Z", "payload": {"total": 120.50}}\n'
)
paid = (
    '{"aggregate_id": "order-1", "version": 2, "id": "e-2", "type": "PaymentProcessed", '
    '"timestamp": "2026-06-30T11:01:10+02:00", "payload": {"amount": 120.50}}\n'
)
another = (
    '{"aggregate_id": "order-2", "version": 1, "id": "e-3", "type": "OrderCreated", '
    '"timestamp": "2026-06-30T09:03:00Z", "payload": {"total": 19.90}}\n'
)
_ = orders.write_text(created + paid + another)

# %% [markdown]
# A log is one DuckDB file: you can copy it, mail it, and open it again next year.

# %% tags=["first-load"]
log = wb.open(folder / "incident.duckdb")
source = wb.files(orders, name="orders")
log.load(source)

# %% tags=["events"]
log.sql(
    "SELECT position, stream_id, version, event_type, occurred_at, data, source_position FROM events"
)

# %% [markdown]
# Times are in UTC now: the second event was written with an offset of two hours. `data` is the payload as it
# came, down to the last zero of `120.50`. `position` is the order of the whole log, and `source_position` says
# where each record stands at its source, so that anyone can go back and look.

# %% [markdown]
# ## 2. Load it again
#
# Nothing is read a second time, since the log remembers how far it got. That bookmark and the events are saved
# in one step, so a load that was killed goes on where it was.

# %% tags=["second-load"]
log.load(source)

# %% [markdown]
# Meanwhile the system lives on. Three lines are added to the file: a new event, one that was sent twice, and one
# whose writer died in the middle.

# %% tags=["third-load"]
failed = (
    '{"aggregate_id": "order-2", "version": 2, "id": "e-4", "type": "PaymentFailed", '
    '"timestamp": "2026-06-30T09:04:00Z", "payload": {"reason": "card declined"}}\n'
)
broken = '{"aggregate_id": "order-3", "version": 1, "id": "e-5", "type": "OrderCre\n'
with orders.open("a") as file:
    file.write(failed + created + broken)
log.load(source)

# %% [markdown]
# Only what is new was read, and each of the three ended in a place of its own. The duplicate names the event
# that it repeats:

# %% tags=["duplicates"]
log.duplicates()

# %% [markdown]
# The broken line is kept byte for byte, with its line number and the reason:

# %% tags=["rejects"]
log.rejects()

# %% [markdown]
# ## 3. Refused rather than guessed
#
# Three more lines that cannot be taken at their word: a time that says no zone, an event that is known with
# *other* content, and bytes that are no text.

# %% tags=["fourth-load"]
no_zone = (
    b'{"aggregate_id": "order-4", "id": "e-6", "type": "OrderCreated", '
    b'"timestamp": "2026-06-30T09:05:00"}\n'
)
contradiction = another.replace("19.90", "1.00").encode()
no_text = b'{"aggregate_id": "order-5", "id": "e-7", "type": "Order\xff\xfe"}\n'
with orders.open("ab") as file:
    file.write(no_zone + contradiction + no_text)
log.load(source)

# %% tags=["reasons"]
[(reject["reason"], reject["raw"]) for reject in log.rejects().rows()]

# %% [markdown]
# The one about *other content* matters most to an auditor. Somebody wrote the same event again with another amount. The
# log keeps what it had, and keeps the contradiction too.
#
# ## 4. The counts add up
#
# `loads` lists every load there ever was: read = stored + duplicate + rejected, in each line.

# %% tags=["sums"]
log.loads().query("""
    SELECT load_id, source, status, read, stored, duplicate, rejected,
           read = stored + duplicate + rejected AS adds_up
    FROM result ORDER BY load_id
""")

# %% [markdown]
# The card of the log draws the conclusions for you. What a reader should know before trusting an answer stands
# at its end:

# %% tags=["health"]
log

# %% [markdown]
# ## 5. Files with names of their own
#
# This ledger is a German CSV. The workbench cannot know its columns, and says so before anything is read:

# %% tags=["no-mapping"]
from workbench.errors import WorkbenchError

ledger = folder / "ledger.csv"
_ = ledger.write_text(
    """\
konto;buchung;wann;betrag
4711;Einzahlung;2026-06-30 09:15:00;250.00
4711;Auszahlung;2026-06-30 18:40:00;75.00
"""
)
try:
    log.load(wb.files(ledger, name="ledger"))
except WorkbenchError as error:
    refused = str(error).splitlines()
refused

# %% [markdown]
# So we tell it. On the left stand the log's names, on the right the file's; `"=account"` is a constant, and
# `"*"` is the record as a whole.

# %% tags=["half-mapping"]
columns = {
    "stream_id": "konto",
    "stream_type": "=account",
    "event_type": "buchung",
    "occurred_at": "wann",
    "data": "*",
}
log.load(wb.files(ledger, name="ledger", columns=columns))

# %% [markdown]
# Both lines are rejected: their times say no zone. We know it, so we say it for them. The log has been through this
# file already, and `again=True` has it start over. That is safe at any time, since nothing is stored twice:

# %% tags=["mapping"]
log.load(wb.files(ledger, name="ledger", columns=columns, timezone="Europe/Berlin"), again=True)

# %% tags=["mapped"]
log.where(source="ledger").sql(
    "SELECT stream_id, stream_type, event_type, occurred_at, data->>'betrag' AS betrag FROM events"
)

# %% [markdown]
# Several sources share one log, and every event remembers where it came from. A larger one, as it would come
# from a broker's archive:

# %% tags=["checkout"]
from workbench.bundled import sample

checkout = sample("checkout")
log.load(wb.files(checkout.events, name="checkout"))

# %% [markdown]
# ## 6. The same events, the same fingerprint
#
# Two people load the same files, perhaps in another order and on another day. `fingerprint` tells whether they look at the
# same record:

# %% tags=["fingerprint"]
mine = wb.open()
mine.load(wb.files(checkout.events, name="checkout"))
theirs = log.where(source="checkout")
same = mine.fingerprint() == theirs.fingerprint()
same

# %% [markdown]
# ## 7. Postgres and Kafka
#
# A source is a plain value. Making one opens nothing, so these two cells run without a server. The password shows
# nowhere, neither here nor in the log.

# %% tags=["postgres"]
events = wb.postgres(
    "postgresql://auditor:secret@db.example/bank",
    table="ledger.entries",
    position="entry_id",
    columns={
        "stream_id": "account",
        "event_type": "kind",
        "data": "body",
        "occurred_at": "booked_at",
    },
    timezone="UTC",
)
events.name

# %% tags=["kafka"]
topics = wb.kafka("broker.example:9092", "events.*", until="2026-11-01T00:00Z")
topics.name

# %% [markdown]
# With a server behind it, each is loaded like a file:
#
# ```python
# log.load(events)
# log.load(topics)
# log.load(topics)   # an hour later: only what is new
# ```
#
# Neither is ever written to. What each can vouch for differs, and `log.loads()` and the card say it in the
# source's own words:
#
# - **Postgres** hands out numbers when a row is inserted, and shows the row when its transaction ends. A reader that
#   goes on from the highest number it saw loses whatever was committed late. So the log keeps a *watermark*, up
#   to which everything is here for certain, remembers the open gaps above it, and reads them again next time.
# - **Kafka** is read up to the end that each partition had when the load began. Messages of aborted transactions
#   never appear. If the broker no longer holds what should come next, that is data loss, and is called so.
#
# In a terminal the same is `workbench load incident.duckdb postgresql://…` or `kafka://…`.

# %% [markdown]
# ## 8. Close it, and open it next year
#
# Everything is in the file: events, loads, rejects and duplicates.

# %% tags=["reopened"]
log.close()
log = wb.open(folder / "incident.duckdb", read_only=True)
len(log), len(log.rejects()), len(log.duplicates())

# %% [markdown]
# ## What next
#
# - [02_time_travel](02_time_travel.ipynb): ask a loaded log what was so, and when.
# - [03_projection_diff](03_projection_diff.ipynb): compare a stored table with what the events say.
# - [05_dead_letters](05_dead_letters.ipynb): load what consumers gave up, too.
